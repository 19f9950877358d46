/*
 * Runs files, or all files of folders, through a fuzz target, so that every compiler replays the kept corpora in `make test`.
 * Each input is a heap block of its exact size: AddressSanitizer sees the first byte read past it.
 */
#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static int replayed;

static int
fail(const char *path)
{
	perror(path);
	return -1;
}

static int
replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	long size;

	if (f == NULL)
		return fail(path);
	if (fseek(f, 0, SEEK_END) != 0 || (size = ftell(f)) < 0 || fseek(f, 0, SEEK_SET) != 0) {
		fclose(f);
		return fail(path);
	}
	uint8_t *data = malloc(size > 0 ? (size_t)size : 1);
	size_t got = data != NULL ? fread(data, 1, (size_t)size, f) : 0;

	fclose(f);
	if (data == NULL || got != (size_t)size) {
		free(data);
		return fail(path);
	}
	printf("%s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(data, got);
	free(data);
	replayed++;
	return 0;
}

static int
replay_folder(DIR *dir, const char *path)
{
	int status = 0;

	for (struct dirent *e; status == 0 && (e = readdir(dir)) != NULL;) {
		char name[4096];

		if (e->d_name[0] == '.')
			continue;
		if (snprintf(name, sizeof(name), "%s/%s", path, e->d_name) >= (int)sizeof(name))
			return -1;
		status = replay_file(name);
	}
	return status;
}

int
main(int argc, char **argv)
{
	if (LLVMFuzzerInitialize != NULL)
		LLVMFuzzerInitialize(&argc, &argv);
	for (int i = 1; i < argc; i++) {
		DIR *dir = opendir(argv[i]);
		int status = dir != NULL ? replay_folder(dir, argv[i]) : replay_file(argv[i]);

		if (dir != NULL)
			closedir(dir);
		if (status != 0)
			return 1;
	}
	printf("replayed %d\n", replayed);
	return replayed > 0 ? 0 : 1;
}
