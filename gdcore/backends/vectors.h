/* Vectors of doubles as wide as the registers of the variant that is compiled, in GCC's and Clang's own vector types: one source
   for every instruction set. Products and sums of vectors become fused multiply-adds where the machine has them. */
#ifndef GDCORE_VECTORS_H
#define GDCORE_VECTORS_H

#include <stddef.h>
#include <string.h>

#if defined(__AVX512F__)
  #define GDCORE_LANES 8
  #define GDCORE_BESIDE 3
#elif defined(__AVX__)
  #define GDCORE_LANES 4
  #define GDCORE_BESIDE 3
#else
  #define GDCORE_LANES 2
  #define GDCORE_BESIDE 4
#endif
/* Code that exists once: sums may be re-associated, and a second copy might be in another way. */
#if defined(__clang__)
  #define GDCORE_ONCE __attribute__((noinline))
#else
  #define GDCORE_ONCE __attribute__((noinline, noclone))
#endif
/* Columns of a stripe of packed rows: the vectors that a tile has side by side. */
#define GDCORE_STRIPE (GDCORE_LANES * GDCORE_BESIDE)

typedef double gdcore_vector __attribute__((vector_size(8 * GDCORE_LANES)));
typedef long long gdcore_bits __attribute__((vector_size(8 * GDCORE_LANES)));
typedef double gdcore_loose __attribute__((vector_size(8 * GDCORE_LANES), aligned(8), may_alias));

/* out[i·step + j] += Σ over rows of a[i]·b[j] for i < high and j < count, in so many vectors: an outer product a row, whose
   LANES × vectors sums are in registers meanwhile. Rows of a and b lie STRIPE apart. */
static inline __attribute__((always_inline)) void gdcore_tile_of(const double* a, const double* b, ptrdiff_t rows,
    const int vectors, double* out, ptrdiff_t step, ptrdiff_t high, ptrdiff_t count)
{
    gdcore_vector sums[GDCORE_LANES][GDCORE_BESIDE], x[GDCORE_BESIDE];
    #define EACH_SUM _Pragma("GCC unroll 8") for (int i = 0; i < GDCORE_LANES; i++) \
        _Pragma("GCC unroll 4") for (int v = 0; v < vectors; v++)
    EACH_SUM sums[i][v] = (gdcore_vector){0};
    for (ptrdiff_t r = 0; r < rows; r++, a += GDCORE_STRIPE, b += GDCORE_STRIPE) {
        _Pragma("GCC unroll 4") for (int v = 0; v < vectors; v++) x[v] = *(const gdcore_vector*)(b + v * GDCORE_LANES);
        EACH_SUM sums[i][v] += a[i] * x[v];
    }
    if (high == GDCORE_LANES && count == vectors * GDCORE_LANES) {
        EACH_SUM *(gdcore_loose*)(out + i * step + v * GDCORE_LANES) += sums[i][v];
        return;
    }
    double kept[GDCORE_LANES][GDCORE_STRIPE];
    EACH_SUM memcpy(&kept[i][v * GDCORE_LANES], &sums[i][v], sizeof(gdcore_vector));
    for (ptrdiff_t i = 0; i < high; i++)
        for (ptrdiff_t j = 0; j < count; j++)
            out[i * step + j] += kept[i][j];
    #undef EACH_SUM
}

static void gdcore_tile(const double* a, const double* b, ptrdiff_t rows, double* out, ptrdiff_t step, ptrdiff_t high,
    ptrdiff_t count)
{
    if (count > 3 * GDCORE_LANES) gdcore_tile_of(a, b, rows, GDCORE_BESIDE, out, step, high, count);
    else if (count > 2 * GDCORE_LANES) gdcore_tile_of(a, b, rows, 3, out, step, high, count);
    else if (count > GDCORE_LANES) gdcore_tile_of(a, b, rows, 2, out, step, high, count);
    else gdcore_tile_of(a, b, rows, 1, out, step, high, count);
}

/* As many multiply-adds as the machine can make, `rounds` in each of CHAINS numbers: its peak. */
#define GDCORE_CHAINS (12 * GDCORE_LANES)
static GDCORE_ONCE void gdcore_chains(ptrdiff_t rounds, double* out)
{
    gdcore_vector sums[12], a = (gdcore_vector){0} + out[0], b = a * a + 0.125;
    for (int i = 0; i < 12; i++) sums[i] = a + i;
    for (ptrdiff_t r = 0; r < rounds; r++)
        _Pragma("GCC unroll 12") for (int i = 0; i < 12; i++) sums[i] = sums[i] * a + b;
    for (int i = 0; i < 12; i++) out[0] += sums[i][0];
}

/* Lines of memory that will be wanted: of `runs` runs, `step` bytes apart, `lines` each; the next is line `line` of run `run`. */
typedef struct { const char* first; ptrdiff_t step, runs, lines, run, line; } gdcore_wanted;

static inline void gdcore_ask(gdcore_wanted* w, ptrdiff_t count)
{
    for (; count > 0 && w->run < w->runs; count--) {
        __builtin_prefetch(w->first + w->run * w->step + 64 * w->line, 0, 2);  /* to the L2 cache */
        if (++w->line == w->lines) { w->line = 0; w->run++; }
    }
}

/* S (p, p) += Σ over rows of z·zᵀ, of which the upper triangle counts. z (p,) lies packed, z[stripe][row][STRIPE], with `room`
   rows a stripe; what is wanted next is asked for meanwhile. */
static GDCORE_ONCE void gdcore_squares(const double* z, ptrdiff_t room, ptrdiff_t rows, ptrdiff_t p, double* out, gdcore_wanted* next)
{
    const ptrdiff_t blocks = (p + GDCORE_LANES - 1) / GDCORE_LANES, tiles = blocks * (blocks + 2 * GDCORE_BESIDE) / (2 * GDCORE_BESIDE);
    const ptrdiff_t share = next->runs * next->lines / tiles + 1;
    for (ptrdiff_t j = 0; j < p; j += GDCORE_STRIPE) {
        const ptrdiff_t end = p < j + GDCORE_STRIPE ? p : j + GDCORE_STRIPE;
        for (ptrdiff_t i = 0; i < end; i += GDCORE_LANES) {
            gdcore_ask(next, share);
            const ptrdiff_t own = i % GDCORE_STRIPE, from = i > j ? i : j;  /* a tile on the diagonal begins at it */
            const ptrdiff_t high = p - i < GDCORE_LANES ? p - i : GDCORE_LANES;
            gdcore_tile(z + (i - own) * room + own, z + j * room + (from - j), rows, out + i * p + from, p, high, end - from);
        }
    }
}

/* first (p,) += Σ over rows of weights·z, of the same z. */
static GDCORE_ONCE void gdcore_sums(const double* z, const double* weights, ptrdiff_t room, ptrdiff_t rows, ptrdiff_t p, double* first)
{
    const ptrdiff_t whole = rows / 4 * 4;
    for (ptrdiff_t j = 0; j < p; j += GDCORE_LANES) {
        const double* x = z + (j - j % GDCORE_STRIPE) * room + j % GDCORE_STRIPE;
        gdcore_vector sums = {0};
        #define ROW(r) (weights[r] * *(const gdcore_vector*)(x + (r) * GDCORE_STRIPE))
        for (ptrdiff_t r = 0; r < whole; r += 4) sums += (ROW(r) + ROW(r + 1)) + (ROW(r + 2) + ROW(r + 3));
        for (ptrdiff_t r = whole; r < rows; r++) sums += ROW(r);
        #undef ROW
        for (ptrdiff_t i = 0; i < GDCORE_LANES && j + i < p; i++) first[j + i] += sums[i];
    }
}

/* Rows of a stripe, `count` numbers each and `step` bytes apart, packed: to = scale·(x − shift), a row after the other. The
   squares of the first `squared` are added to lengths (rows, LANES), each to the lane that it was read in. The last vector of a
   row ends where the row ends: what it has of columns before it is written again, or in front of the first, where nobody looks;
   so x has LANES numbers before the end of each row that can be read, and `to` a row of room in front. */
#define GDCORE_PACK(number) \
typedef number gdcore_##number##s __attribute__((vector_size(sizeof(number) * GDCORE_LANES), aligned(sizeof(number)), may_alias)); \
static inline __attribute__((always_inline)) void gdcore_pack_of_##number(const char* x, ptrdiff_t step, ptrdiff_t rows, \
    const int vectors, ptrdiff_t count, ptrdiff_t squared, const double* shift, const double* scale, double* to, double* lengths) \
{ \
    gdcore_vector away[GDCORE_BESIDE], v; \
    gdcore_bits counts[GDCORE_BESIDE]; \
    ptrdiff_t at[GDCORE_BESIDE]; \
    for (int q = 0; q < vectors; q++) { \
        at[q] = q < vectors - 1 ? q * GDCORE_LANES : count - GDCORE_LANES; \
        for (ptrdiff_t i = 0; i < GDCORE_LANES; i++) { \
            const ptrdiff_t j = at[q] + i; \
            away[q][i] = j < 0 ? 0 : shift[j]; \
            counts[q][i] = -(long long)(j >= q * GDCORE_LANES && j < squared); \
        } \
    } \
    for (ptrdiff_t r = 0; r < rows; r++, x += step, to += GDCORE_STRIPE, lengths += GDCORE_LANES) { \
        gdcore_vector squares = *(gdcore_vector*)lengths; \
        _Pragma("GCC unroll 4") for (int q = 0; q < vectors; q++) { \
            v = __builtin_convertvector(*(const gdcore_##number##s*)((const number*)x + at[q]), gdcore_vector); \
            *(gdcore_loose*)(to + at[q]) = scale[r] * (v - away[q]); \
            v = (gdcore_vector)((gdcore_bits)v & counts[q]); \
            squares += v * v; \
        } \
        *(gdcore_vector*)lengths = squares; \
    } \
} \
static GDCORE_ONCE void gdcore_pack_##number(const char* x, ptrdiff_t step, ptrdiff_t rows, ptrdiff_t count, ptrdiff_t squared, \
    const double* shift, const double* scale, double* to, double* lengths) \
{ \
    switch ((count + GDCORE_LANES - 1) / GDCORE_LANES) { \
    case 1: gdcore_pack_of_##number(x, step, rows, 1, count, squared, shift, scale, to, lengths); break; \
    case 2: gdcore_pack_of_##number(x, step, rows, 2, count, squared, shift, scale, to, lengths); break; \
    case 3: gdcore_pack_of_##number(x, step, rows, 3, count, squared, shift, scale, to, lengths); break; \
    default: gdcore_pack_of_##number(x, step, rows, GDCORE_BESIDE, count, squared, shift, scale, to, lengths); \
    } \
}
GDCORE_PACK(float)
GDCORE_PACK(double)
#undef GDCORE_PACK

#endif
