/* cfrac-like loop: the continued fraction of the square root of a 280-bit
   number, as a factoring program expands it, with numbers that are never
   changed once made. Every operation mallocs its result (8 to 64 bytes) and
   nearly all of them are freed within a few calls; one in about eighty stays
   for 8192 steps or so, so that the short-lived blocks churn between
   long-lived ones.
   usage: cfrac [STEPS]; prints a checksum. bench/run runs it. */
#include "loops.h"

#include <string.h>

enum { KEPT = 8192, MAX_DIGITS = 20 };

/* d[0] is the lowest digit; the highest is not zero, so zero has length 0. */
struct num {
	uint32_t len;
	uint32_t d[];
};

static const uint32_t trial_primes[] = {
	2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61,
	67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131,
};

/* Room for at least one digit: 8 bytes is the smallest request. */
static struct num *num_new(uint32_t len)
{
	struct num *n = loop_check(malloc(sizeof(*n) + 4 * (len ? len : 1)));

	n->len = len;
	return n;
}

static struct num *num_from(const uint32_t *digits, uint32_t len)
{
	struct num *n;

	while (len && !digits[len - 1])
		len--;
	n = num_new(len);
	memcpy(n->d, digits, 4 * len);
	return n;
}

static struct num *num_small(uint32_t value)
{
	return num_from(&value, 1);
}

static int num_cmp(const struct num *a, const struct num *b)
{
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	for (uint32_t i = a->len; i-- > 0;)
		if (a->d[i] != b->d[i])
			return a->d[i] < b->d[i] ? -1 : 1;
	return 0;
}

static struct num *num_add(const struct num *a, const struct num *b)
{
	uint32_t out[MAX_DIGITS + 1], len = a->len > b->len ? a->len : b->len;
	uint64_t carry = 0;

	for (uint32_t i = 0; i < len; i++) {
		carry += i < a->len ? a->d[i] : 0;
		carry += i < b->len ? b->d[i] : 0;
		out[i] = (uint32_t)carry;
		carry >>= 32;
	}
	out[len] = (uint32_t)carry;
	return num_from(out, len + 1);
}

/* a - b, which must not be negative. */
static struct num *num_sub(const struct num *a, const struct num *b)
{
	uint32_t out[MAX_DIGITS + 1];
	int64_t borrow = 0;

	for (uint32_t i = 0; i < a->len; i++) {
		borrow += (int64_t)a->d[i] - (i < b->len ? b->d[i] : 0);
		out[i] = (uint32_t)borrow;
		borrow >>= 32;
	}
	return num_from(out, a->len);
}

static struct num *num_mul(const struct num *a, const struct num *b)
{
	uint32_t out[2 * MAX_DIGITS] = { 0 };

	for (uint32_t i = 0; i < a->len; i++) {
		uint64_t carry = 0;

		for (uint32_t j = 0; j < b->len; j++) {
			carry += out[i + j] + (uint64_t)a->d[i] * b->d[j];
			out[i + j] = (uint32_t)carry;
			carry >>= 32;
		}
		out[i + b->len] = (uint32_t)carry;
	}
	return num_from(out, a->len + b->len);
}

static struct num *num_div_small(const struct num *a, uint32_t by,
				 struct num **rest)
{
	uint32_t out[MAX_DIGITS];
	uint64_t left = 0;

	for (uint32_t i = a->len; i-- > 0;) {
		left = left << 32 | a->d[i];
		out[i] = (uint32_t)(left / by);
		left %= by;
	}
	*rest = num_small((uint32_t)left);
	return num_from(out, a->len);
}

/* Long division; both are shifted left until the divisor's top bit is set, so
   that the guess from the two top digits is at most two too large. */
static struct num *num_div(const struct num *a, const struct num *b,
			   struct num **rest)
{
	uint32_t u[MAX_DIGITS + 1], v[MAX_DIGITS], q[MAX_DIGITS];
	uint32_t n = b->len;
	int shift;

	if (num_cmp(a, b) < 0) {
		*rest = num_from(a->d, a->len);
		return num_small(0);
	}
	if (n == 1)
		return num_div_small(a, b->d[0], rest);
	shift = __builtin_clz(b->d[n - 1]);
	for (uint32_t i = n; i-- > 0;)
		v[i] = (uint32_t)((((uint64_t)b->d[i] << 32) |
				   (i ? b->d[i - 1] : 0)) << shift >> 32);
	u[a->len] = (uint32_t)((uint64_t)a->d[a->len - 1] << shift >> 32);
	for (uint32_t i = a->len; i-- > 0;)
		u[i] = (uint32_t)((((uint64_t)a->d[i] << 32) |
				   (i ? a->d[i - 1] : 0)) << shift >> 32);

	for (uint32_t j = a->len - n + 1; j-- > 0;) {
		uint64_t top = (uint64_t)u[j + n] << 32 | u[j + n - 1];
		uint64_t guess = top / v[n - 1], carry = 0;
		int64_t borrow = 0;

		if (guess > UINT32_MAX)
			guess = UINT32_MAX;
		for (uint32_t i = 0; i < n; i++) {
			carry += guess * v[i];
			borrow += (int64_t)u[i + j] - (uint32_t)carry;
			u[i + j] = (uint32_t)borrow;
			borrow >>= 32;
			carry >>= 32;
		}
		borrow += (int64_t)u[j + n] - (int64_t)carry;
		u[j + n] = (uint32_t)borrow;
		while (borrow < 0) {
			uint64_t sum = 0;

			for (uint32_t i = 0; i < n; i++) {
				sum += (uint64_t)u[i + j] + v[i];
				u[i + j] = (uint32_t)sum;
				sum >>= 32;
			}
			u[j + n] += (uint32_t)sum;
			borrow += (int64_t)sum;
			guess--;
		}
		q[j] = (uint32_t)guess;
	}
	for (uint32_t i = 0; i < n; i++)
		u[i] = (uint32_t)((((uint64_t)(i + 1 < n ? u[i + 1] : 0) << 32) |
				   u[i]) >> shift);
	*rest = num_from(u, n);
	return num_from(q, a->len - n + 1);
}

/* Newton from above: the first value that does not fall is the root. */
static struct num *num_sqrt(const struct num *n)
{
	uint32_t start[MAX_DIGITS] = { 0 };
	struct num *x, *q, *rest, *sum, *next;

	start[n->len / 2 + 1] = 1;
	x = num_from(start, n->len / 2 + 2);
	for (;;) {
		q = num_div(n, x, &rest);
		free(rest);
		sum = num_add(x, q);
		free(q);
		next = num_div_small(sum, 2, &rest);
		free(rest);
		free(sum);
		if (num_cmp(next, x) >= 0) {
			free(next);
			return x;
		}
		free(x);
		x = next;
	}
}

/* What is left of n when the small primes are divided out. */
static struct num *num_strip(const struct num *n)
{
	struct num *left = num_from(n->d, n->len), *q, *rest;

	for (size_t i = 0; i < sizeof(trial_primes) / sizeof(*trial_primes);) {
		q = num_div_small(left, trial_primes[i], &rest);
		if (rest->len == 0) {
			free(left);
			left = q;
		} else {
			free(q);
			i++;
		}
		free(rest);
	}
	return left;
}

static uint64_t num_fold(uint64_t sum, const struct num *n)
{
	for (uint32_t i = 0; i < n->len; i++)
		sum = loop_mix(sum, n->d[i]);
	return sum;
}

/* One step's numbers: (root + p) / q is the rest of the expansion, a and
   a_before the last two convergents' numerators modulo n. */
struct fraction {
	struct num *n, *root, *p, *q, *a, *a_before;
};

static void fraction_step(struct fraction *f)
{
	struct num *digit, *rest, *t, *t2, *p, *q, *a;

	t = num_add(f->root, f->p);
	digit = num_div(t, f->q, &rest);
	free(t);
	free(rest);

	t = num_mul(digit, f->q);
	p = num_sub(t, f->p);
	free(t);

	t = num_mul(p, p);
	t2 = num_sub(f->n, t);
	q = num_div(t2, f->q, &rest);
	if (rest->len != 0)
		abort();
	free(t);
	free(t2);
	free(rest);

	t = num_mul(digit, f->a);
	t2 = num_add(t, f->a_before);
	free(num_div(t2, f->n, &a));
	free(t);
	free(t2);
	free(digit);

	free(f->p);
	free(f->q);
	free(f->a_before);
	f->p = p;
	f->q = q;
	f->a_before = f->a;
	f->a = a;
}

/* a * a = q or -q modulo n, as the number of steps is even or odd. */
static int fraction_holds(const struct fraction *f, unsigned long steps)
{
	struct num *square = num_mul(f->a, f->a), *rest, *other;
	int same;

	free(num_div(square, f->n, &rest));
	other = steps & 1 ? num_sub(f->n, f->q) : num_from(f->q->d, f->q->len);
	same = num_cmp(rest, other) == 0;
	free(square);
	free(rest);
	free(other);
	return same;
}

int main(int argc, char **argv)
{
	static const uint32_t digits[] = {
		0x9d2c5681, 0x4b1f03a7, 0xc3e7d915, 0x71f0aa4d,
		0x2e5b8c63, 0xd4a91b7f, 0x00b7e151, 0x5f3c19e7, 0x00e81d4b,
	};
	static struct num *kept[KEPT];
	unsigned long steps = loop_count(argc, argv, 1, 600000);
	uint64_t sum = 0, state = 1;
	struct fraction f;

	f.n = num_from(digits, sizeof(digits) / sizeof(*digits));
	f.root = num_sqrt(f.n);
	f.p = num_small(0);
	f.q = num_small(1);
	f.a_before = num_small(0);
	f.a = num_small(1);
	for (unsigned long i = 0; i < steps; i++) {
		struct num **slot = &kept[loop_random(&state) % KEPT];

		fraction_step(&f);
		free(*slot);
		*slot = num_strip(f.q);
		sum = num_fold(sum, *slot);
	}
	if (!fraction_holds(&f, steps))
		abort();
	for (int i = 0; i < KEPT; i++)
		free(kept[i]);
	sum = num_fold(sum, f.a);
	free(f.n);
	free(f.root);
	free(f.p);
	free(f.q);
	free(f.a);
	free(f.a_before);
	printf("%016llx\n", (unsigned long long)sum);
	return 0;
}
