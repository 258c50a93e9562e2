/* The micro-benchmarks: one program, so that any allocator can be preloaded.
   bench/README.md says what each case does. */
#include "micro.h"

int main(int argc, char **argv)
{
	micro_pair();
	micro_order();
	micro_realloc();
	micro_calloc();
	micro_aligned();
	micro_new();
	micro_pipe();
	micro_churn();
	micro_idle();
	micro_aging();
	micro_growth();
	return gbench_main(argc, argv);
}
