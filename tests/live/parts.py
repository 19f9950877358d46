"""Parts of the live test: the report, child processes, and the relay that sees all traffic to the model server."""
import http.client
import io
import re
import socket
import subprocess
import threading

BUFFER = 65536


class Report:
    """One `ok` or `not ok` line for each assertion, and the closing count."""

    def __init__(self):
        self.passed = self.failed = 0

    def say(self, text):
        print(text, flush=True)

    def part(self, title):
        self.say(f"\n# {title}")

    def ok(self, condition, what, detail=""):
        if condition:
            self.passed += 1
            self.say(f"ok     - {what}")
        else:
            self.failed += 1
            self.say(f"not ok - {what}" + (f"\n         {detail}" if detail != "" else ""))
        return bool(condition)

    def same(self, got, expected, what):
        return self.ok(got == expected, what, f"expected {expected!r}\n         but got  {got!r}")

    def close(self):
        self.say(f"\n{self.passed} passed, {self.failed} failed")
        return 0 if self.passed and not self.failed else 1


class Child:
    """A process whose output is kept in a file and can be waited for, line by line. Ended by its pid."""

    def __init__(self, name, command, log, env):
        self.name, self.lines, self.line_came = name, [], threading.Condition()
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, errors="replace")
        self.reader = threading.Thread(target=self._read, args=(log,), daemon=True)
        self.reader.start()

    def _read(self, log):
        with open(log, "w", encoding="utf-8") as out:
            for line in self.process.stdout:
                out.write(line)
                out.flush()
                with self.line_came:
                    self.lines.append(line)
                    self.line_came.notify_all()
        with self.line_came:
            self.lines.append(None)                              # the end of the output
            self.line_came.notify_all()

    def count(self, pattern):
        return sum(1 for line in self.lines if line and re.search(pattern, line))

    def wait_for(self, pattern, seconds, times=1):
        """The match of `pattern` in the line that holds it for the `times`th time, or None when it did not come."""
        with self.line_came:
            self.line_came.wait_for(lambda: self.count(pattern) >= times or None in self.lines, seconds)
            found = [m for m in (re.search(pattern, line) for line in self.lines if line) if m]
            return found[times - 1] if len(found) >= times else None

    def stop(self, seconds=40):
        """Asks it to end (SIGTERM); its exit status, or None when it had to be killed."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)
            return None


class Connection:
    """What the relay saw on one connection of Postern's to the model server."""

    def __init__(self):
        self.from_gateway, self.from_server = bytearray(), bytearray()
        self.next_head = 0                                       # where in from_gateway the next request begins
        self.first_to_close = None                               # "gateway" or "server"


class Request:
    """A request that Postern sent to the model server: its head, and the answer's bytes as far as they came."""

    def __init__(self, connection, head):
        self.connection, self.head = connection, head
        self.answer_starts = len(connection.from_server)

    def answer(self):
        return bytes(self.connection.from_server[self.answer_starts:])

    def body(self):
        """The answer's body with the chunked framing taken off; of the last request of a connection only."""
        response = http.client.HTTPResponse(_Bytes(self.answer()), method="POST")
        response.begin()
        return response.read()

    def header(self, name):
        found = re.search(rf"(?im)^{name}: *(.*?)\r?$", self.head)
        return found and found[1]


class _Bytes(io.BytesIO):
    def makefile(self, *_):
        return self


class Relay:
    """A transparent TCP relay between Postern and the model server. It changes nothing and remembers everything."""

    def __init__(self, port):
        self.target = ("127.0.0.1", port)
        self.connections, self.requests, self.changed = [], [], threading.Condition()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def wait(self, condition, seconds):
        """Waits until condition() holds after something was seen; whether it came to hold."""
        with self.changed:
            return self.changed.wait_for(condition, seconds)

    def _accept(self):
        while True:
            gateway, _ = self.listener.accept()
            try:
                server = socket.create_connection(self.target, 5)
            except OSError:
                gateway.close()
                continue
            server.settimeout(None)
            seen = Connection()
            self.connections.append(seen)
            for side, source, sink in (("gateway", gateway, server), ("server", server, gateway)):
                threading.Thread(target=self._pump, args=(seen, side, source, sink), daemon=True).start()

    def _pump(self, seen, side, source, sink):
        data = True
        while data:
            try:
                data = source.recv(BUFFER)
            except OSError:
                data = b""
            with self.changed:
                self._note(seen, side, data)
                self.changed.notify_all()
            try:
                sink.sendall(data) if data else sink.shutdown(socket.SHUT_WR)
            except OSError:
                pass                                             # that side is gone; its own pump notes it

    def _note(self, seen, side, data):
        if not data:
            seen.first_to_close = seen.first_to_close or side
        elif side == "server":
            seen.from_server += data
        else:
            seen.from_gateway += data
            while (end := seen.from_gateway.find(b"\r\n\r\n", seen.next_head)) >= 0:
                request = Request(seen, seen.from_gateway[seen.next_head:end].decode("latin-1"))
                self.requests.append(request)
                seen.next_head = end + 4 + int(request.header("content-length") or 0)
