/* espresso-like loop: complements random covers (sets of cubes, which are bit
   sets) by splitting on one variable after the other, as a two-level logic
   minimiser does. Cubes are 16 to 512 bytes and are copied, intersected and
   freed all the time; the arrays that hold them grow by realloc from 64 bytes
   to some kilobytes; the last 64 results stay alive and are freed in random
   order, so sizes and lifetimes mix.
   usage: espresso [COVERS]; prints a checksum. bench/run runs it. */
#include "loops.h"

#include <string.h>

enum { VARS = 28, CUBES = 18, KEPT = 64, FIRST_ROOM = 8 };

/* A cube has two bits for each variable in in[]: bit 2v says it holds values
   with variable v = 0, bit 2v+1 with v = 1. After that come the words that say
   which outputs it belongs to; only their number differs between covers. */
typedef uint64_t word;

#define ALL_VALUES ((UINT64_C(1) << 2 * VARS) - 1)
#define LOW_BITS (UINT64_C(0x5555555555555555) & ALL_VALUES)

struct cube {
	word in;
	word out[];
};

struct cover {
	size_t count, room, outs;
	struct cube **cube;
};

static struct cube *cube_new(size_t outs, word in, word out)
{
	struct cube *c = loop_check(malloc(sizeof(*c) + outs * sizeof(word)));

	c->in = in;
	for (size_t i = 0; i < outs; i++)
		c->out[i] = out;
	return c;
}

static struct cube *cube_copy(size_t outs, const struct cube *from)
{
	size_t size = sizeof(*from) + outs * sizeof(word);

	return memcpy(loop_check(malloc(size)), from, size);
}

static struct cover *cover_new(size_t outs)
{
	struct cover *f = loop_check(malloc(sizeof(*f)));

	f->count = 0;
	f->room = FIRST_ROOM;
	f->outs = outs;
	f->cube = loop_check(malloc(f->room * sizeof(*f->cube)));
	return f;
}

static void cover_put(struct cover *f, struct cube *c)
{
	if (f->count == f->room) {
		f->room *= 2;
		f->cube = loop_check(realloc(f->cube,
					     f->room * sizeof(*f->cube)));
	}
	f->cube[f->count++] = c;
}

static void cover_free(struct cover *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->count; i++)
		free(f->cube[i]);
	free(f->cube);
	free(f);
}

/* The cubes that reach into one half of the space, with the variable raised
   to "either" in them. */
static struct cover *cover_half(const struct cover *f, int var, int value)
{
	struct cover *half = cover_new(f->outs);
	word mine = UINT64_C(1) << (2 * var + value);
	word both = UINT64_C(3) << (2 * var);

	for (size_t i = 0; i < f->count; i++) {
		if (!(f->cube[i]->in & mine))
			continue;
		cover_put(half, cube_copy(f->outs, f->cube[i]));
		half->cube[half->count - 1]->in |= both;
	}
	return half;
}

/* The variable most cubes say something about, or -1 when none says a thing. */
static int cover_split_var(const struct cover *f)
{
	size_t best_count = 0;
	int best = -1;

	for (int v = 0; v < VARS; v++) {
		size_t n = 0;

		for (size_t i = 0; i < f->count; i++)
			n += (f->cube[i]->in >> 2 * v & 3) != 3;
		if (n > best_count) {
			best_count = n;
			best = v;
		}
	}
	return best;
}

/* What one cube leaves: a cube for every variable it says something about. */
static struct cover *cube_complement(size_t outs, const struct cube *c)
{
	struct cover *f = cover_new(outs);

	for (int v = 0; v < VARS; v++) {
		word value = c->in >> 2 * v & 3;

		if (value != 3)
			cover_put(f, cube_new(outs, (ALL_VALUES &
				~(UINT64_C(3) << 2 * v)) |
				(3 - value) << 2 * v, c->out[0]));
	}
	return f;
}

/* Cuts every cube of from down to one half and hands it to f; one that f has
   with the other half already is widened to both instead. */
static void cover_merge(struct cover *f, struct cover *from, int var, int value)
{
	word mine = UINT64_C(1) << (2 * var + value);
	word both = UINT64_C(3) << (2 * var);
	size_t before = f->count;

	for (size_t i = 0; i < from->count; i++) {
		struct cube *c = from->cube[i];
		size_t j = 0;

		while (j < before && (f->cube[j]->in | both) != (c->in | both))
			j++;
		if (j < before) {
			f->cube[j]->in |= mine;
			free(c);
		} else {
			c->in &= ~both | mine;
			cover_put(f, c);
		}
	}
	from->count = 0;
	cover_free(from);
}

static struct cover *cover_complement(const struct cover *f)
{
	struct cover *half, *left, *right, *result;
	int var;

	if (f->count == 1)
		return cube_complement(f->outs, f->cube[0]);
	result = cover_new(f->outs);
	if (f->count == 0) {
		cover_put(result, cube_new(f->outs, ALL_VALUES, ~(word)0));
		return result;
	}
	for (size_t i = 0; i < f->count; i++)
		if (f->cube[i]->in == ALL_VALUES)
			return result;

	var = cover_split_var(f);
	half = cover_half(f, var, 0);
	left = cover_complement(half);
	cover_free(half);
	half = cover_half(f, var, 1);
	right = cover_complement(half);
	cover_free(half);
	cover_merge(result, left, var, 0);
	cover_merge(result, right, var, 1);
	return result;
}

/* How many pairs of one cube of a and one of b meet. Each meeting is made as
   a cube of its own, looked at and freed, as the minimiser's sharp does. */
static size_t cover_meets(const struct cover *a, const struct cover *b)
{
	size_t meets = 0;

	for (size_t i = 0; i < a->count; i++) {
		for (size_t j = 0; j < b->count; j++) {
			struct cube *c = cube_copy(a->outs, a->cube[i]);

			c->in &= b->cube[j]->in;
			meets += ((c->in | c->in >> 1) & LOW_BITS) == LOW_BITS;
			free(c);
		}
	}
	return meets;
}

static struct cover *cover_random(uint64_t *state)
{
	struct cover *f = cover_new(1 + loop_random(state) % 63);

	for (int i = 0; i < CUBES; i++) {
		word in = ALL_VALUES;

		for (int v = 0; v < VARS; v++)
			if (loop_random(state) % 4 == 0)
				in &= ~(UINT64_C(1) << (2 * v +
					(loop_random(state) >> 32 & 1)));
		cover_put(f, cube_new(f->outs, in, loop_random(state)));
	}
	return f;
}

int main(int argc, char **argv)
{
	static struct cover *kept[KEPT];
	unsigned long covers = loop_count(argc, argv, 1, 100);
	uint64_t state = UINT64_C(0x5eed5eed5eed5eed), sum = 0;

	for (unsigned long i = 0; i < covers; i++) {
		struct cover **slot = &kept[loop_random(&state) % KEPT];
		struct cover *f = cover_random(&state);

		cover_free(*slot);
		*slot = cover_complement(f);
		/* A cover and its complement have nothing in common. */
		if (cover_meets(f, *slot) != 0)
			abort();
		sum = loop_mix(sum, (*slot)->count);
		for (size_t j = 0; j < (*slot)->count; j++)
			sum = loop_mix(sum, (*slot)->cube[j]->in);
		cover_free(f);
	}
	for (int i = 0; i < KEPT; i++)
		cover_free(kept[i]);
	printf("%016llx\n", (unsigned long long)sum);
	return 0;
}
