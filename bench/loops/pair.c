/* Counted loop: malloc(SIZE) and free of that block, PAIRS times, on one
   thread: the hit path of both, for bench/instructions. Some blocks of SIZE are
   alive all the time, so that freeing the one does not empty its slab.
   usage: pair SIZE [PAIRS [real|noop]]; prints a checksum. */
#include "counted.h"

enum { KEPT = 8 };

int main(int argc, char **argv)
{
	unsigned long size = loop_count(argc, argv, 1, 32);
	unsigned long pairs = loop_count(argc, argv, 2, 50000000);
	struct counted_pair f = counted_pair(argc, argv, 3);
	uint64_t sum = 0;
	void *kept[KEPT];

	for (int i = 0; i < KEPT; i++)
		kept[i] = loop_check(f.get(size));
	for (unsigned long i = 0; i < pairs; i++) {
		void *block = f.get(size);

		sum += block != NULL;
		f.put(block);
	}
	for (int i = 0; i < KEPT; i++)
		f.put(kept[i]);
	printf("%016llx\n", (unsigned long long)sum);
	return 0;
}
