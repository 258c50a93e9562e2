/*
 * FIELD.md row 12: addresses above 47 bits. With five-level page tables a hint
 * makes mmap go there; elsewhere the hint is harmless. Either way the heap
 * works on, and blocks beside such mappings stay whole. Started by `run`.
 */
#include "check.h"
#include <sys/mman.h>

static void mapping_above_47_bits(void)
{
	void *block = hide(malloc(1000)), *large = hide(malloc(1 << 20));
	REQUIRE(block && large);
	fill(block, 1000, 1);
	fill(large, 1 << 20, 2);
	for (int bit = 47; bit < 57; bit++) {
		void *hint = (void *)(((uintptr_t)1 << bit) + (1 << 24));
		char *p = (char *)mmap(hint, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			continue;
		memset(p, bit, 1 << 20);
		for (size_t n = 1; n < (size_t)8 << 20; n *= 3) {
			void *q = hide(malloc(n));
			REQUIRE(q);
			fill(q, n, 3);
			REQUIRE(q = hide(realloc(q, n * 2)));
			CHECK(holds(q, n, 3));
			free(q);
		}
		CHECK(p[0] == bit && p[(1 << 20) - 1] == bit);
		munmap(p, 1 << 20);
	}
	CHECK(holds(block, 1000, 1) && holds(large, 1 << 20, 2));
	free(block);
	free(large);
}

CHECK_MAIN(
	{ "mapping_above_47_bits", mapping_above_47_bits, CHECK_BOTH },
)
