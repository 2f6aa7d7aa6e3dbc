/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs a fuzz target over a corpus, and over strings derived from it, without
 * libFuzzer: any compiler will do, and the corpus is a test of its own.
 *
 * usage: replay FILE       FILE has one input per line, in hexadecimal
 * Prints "N inputs" and exits 0; a target that finds something aborts.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned long inputs;

static void run(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		exit(2);
	memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
	inputs++;
}

/* The input itself, each beginning of it, and it with each bit flipped. */
static void run_near(uint8_t *data, size_t size)
{
	for (size_t cut = 0; cut <= size; cut++)
		run(data, cut);
	for (size_t bit = 0; bit < size * 8; bit++) {
		data[bit / 8] ^= 1u << bit % 8;
		run(data, size);
		data[bit / 8] ^= 1u << bit % 8;
	}
}

int main(int argc, char **argv)
{
	static char line[2 * 512 + 2];
	uint8_t data[512];
	FILE *file;

	if (argc != 2)
		return 2;
	file = fopen(argv[1], "r");
	if (!file) {
		perror(argv[1]);
		return 2;
	}
	while (fgets(line, sizeof(line), file)) {
		unsigned int byte;
		size_t size = 0;

		while (size < sizeof(data) && sscanf(line + 2 * size, "%2x", &byte) == 1)
			data[size++] = byte;
		run_near(data, size);
	}
	fclose(file);
	printf("%lu inputs\n", inputs);
	return inputs == 0;
}
