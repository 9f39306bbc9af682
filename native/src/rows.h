// Memory, rows in two int8 digits, queries and documents as the kernels read them.
//
// All of this is in an unnamed namespace: every kernel has copies of its own, compiled for its instructions. Nothing may
// leave a kernel's file for the linker to share with code that runs on other processors: so no functions of the standard
// library that are inline for the types of the language (std::min, std::sqrt), see tests/ranks/test_kernels.py.
//
// A row x is x = s (one + two / 254) + rest. The product of the digits `one` of a query and a document is an integer and
// exact, so all that is lost is what the digits left out:
//
//     |q'.d' - s_q s_d <one_q, one_d>|  <=  |r_q| |d'| + |q'^| |r_d|        (Cauchy-Schwarz; q'^ = q' - r_q)
//
// with the lengths as measured. Pairs within that bound of a threshold are summed again with both digits, where the
// bound is about 1/254 of the first. What is open even then is for the caller.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "request.h"

namespace crossalign {
namespace {

constexpr int kAlign = 64;   // bytes of a cache line and of a vector
constexpr int kGroup = 8;    // documents that share the bounds by which most pairs are passed over
constexpr int kStripe = 256; // documents prepared at a time: they and their digits stay in the second-level cache
constexpr float kInfinity = __builtin_inff();
// Squares below this may be flushed to zero.
constexpr double kTiny = 0x1p-62;
// Float32 steps from the integer to the compared value, as a share of |q'||d'|: conversion, two products, one sum.
constexpr float kSteps = 0x1p-20f;

template <class T>
T lesser(T a, T b) {
    return b < a ? b : a;
}
template <class T>
T greater(T a, T b) {
    return a < b ? b : a;
}

struct Free {
    void operator()(void* memory) const { std::free(memory); }
};

template <class T>
using Array = std::unique_ptr<T[], Free>;

// Zeroed memory on a cache line.
template <class T>
Array<T> make_array(std::size_t count) {
    const std::size_t bytes = (count * sizeof(T) + kAlign - 1) / kAlign * kAlign + kAlign;
    void* memory = std::aligned_alloc(kAlign, bytes);
    if (memory == nullptr) throw std::bad_alloc();
    std::memset(memory, 0, bytes);
    return Array<T>(static_cast<T*>(memory));
}

// What is known of a row x = scale (one + two / 254) + rest, with digits one and two in -127 ... 127. The last two are
// of documents alone.
struct alignas(32) Row {
    float scale = 0;
    float length = 0;      // at least |x|
    float residual = 0;    // at least |x - scale one|
    float residual2 = 0;   // at least |rest|
    std::int32_t sum = 0;  // of the digits one
    std::int32_t sum2 = 0; // of the digits two
    float term = 0;        // k.x, k the center of the queries
    float slack = 0;       // at least the error of `term` and of the sums it enters
};

// Queries, centered and in digits; documents are counted against all of them.
struct Queries {
    int count = 0, width = 0, dim = 0, padded = 0;  // width: a multiple of the panel; padded: dim up to a multiple of 64
    Array<float> center;                 // [padded] the center k of the queries
    float center_length = 0;             // at least |k|
    Array<float> centered;               // [count][padded]
    Array<std::int8_t> panels;           // digits as the product of the kernel reads them
    Array<std::uint8_t> digits;          // [width][2][padded] digits one + 128 and two + 128, row by row
    Array<float> scale, length, residual, residual2;  // [width]
};

// Factor by which a float32 sum of `count` squares, in 16 lanes, is widened to be a bound.
float widen(int count) { return 1.0f + static_cast<float>(count / 16 + 32) * 0x1p-24f; }

__m512d low_half(__m512 x) { return _mm512_cvtps_pd(_mm512_castps512_ps256(x)); }
__m512d high_half(__m512 x) { return _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1)); }

// Components k ... k + 15 of document - center; zeros beyond `dim`.
__m512 centered_part(const float* document, const float* center, int dim, int k) {
    const __mmask16 here = dim - k >= 16 ? 0xffff : static_cast<__mmask16>((1u << (dim - k)) - 1);
    return _mm512_sub_ps(_mm512_maskz_loadu_ps(here, document + k), _mm512_maskz_loadu_ps(here, center + k));
}

// The sums of four vectors.
__m128 sums_of(__m512 a, __m512 b, __m512 c, __m512 d) {
    const auto half = [](__m512 x) { return _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1)); };
    const __m256 all = _mm256_hadd_ps(_mm256_hadd_ps(half(a), half(b)), _mm256_hadd_ps(half(c), half(d)));
    return _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1));
}

// The sums of four vectors of integers.
__m128i sums_of(__m512i a, __m512i b, __m512i c, __m512i d) {
    const auto half = [](__m512i x) { return _mm256_add_epi32(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1)); };
    const __m256i all = _mm256_hadd_epi32(_mm256_hadd_epi32(half(a), half(b)), _mm256_hadd_epi32(half(c), half(d)));
    return _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
}

// 64 digits of -127 ... 127 in one vector.
__m512i packed(__m512i a, __m512i b, __m512i c, __m512i d) {
    const __m512i mixed = _mm512_packs_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
    return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), mixed);
}

// What a row x is measured by before it is written in digits: in 16 lanes each, |x|, squares, and k.x.
struct Measured {
    __m512 largest, squares, term;
};

// Write document - center to x[padded]. A function of its own, whose sums stay in registers.
[[gnu::noinline]] void center_row(const float* document, const float* center, const float* k_center, int dim, float* x,
                                  Measured& measured) {
    __m512 largest = _mm512_setzero_ps(), squares = _mm512_setzero_ps(), term = _mm512_setzero_ps();
    const auto add = [&](__m512 value, int k) {
        _mm512_store_ps(x + k, value);
        largest = _mm512_max_ps(largest, _mm512_abs_ps(value));
        squares = _mm512_fmadd_ps(value, value, squares);
        term = _mm512_fmadd_ps(value, _mm512_load_ps(k_center + k), term);
    };
    int k = 0;
    for (; k + 16 <= dim; k += 16) add(_mm512_sub_ps(_mm512_loadu_ps(document + k), _mm512_loadu_ps(center + k)), k);
    if (k < dim) add(centered_part(document, center, dim, k), k);
    measured = {largest, squares, term};
}

// Write the digits of x[padded], 64 at a time and kStep bytes apart, and measure what they leave out. No digit exceeds 127 in magnitude: the greatest quotient
// is within 2^-22 of 127, and what it leaves within 2^-15 of half a step.
template <int kStep>
Row digits_of(const float* x, const Measured& measured, int dim, int padded, std::int8_t* one, std::int8_t* two) {
    Row row;
    const float most = _mm512_reduce_max_ps(measured.largest);
    const float wide = widen(padded), tiny = static_cast<float>(dim * kTiny);
    __m512 left = _mm512_setzero_ps(), left2 = _mm512_setzero_ps();
    __m512i sum = _mm512_setzero_si512(), sum2 = _mm512_setzero_si512();
    const bool writable = most >= 1e-30f;  // the inverse of less could overflow; then all of the row is residual
    if (writable) {
        row.scale = most / 127.0f;
        const float second = row.scale / 254.0f;
        const __m512 scale = _mm512_set1_ps(row.scale), inverse = _mm512_set1_ps(1.0f / row.scale);
        const __m512 scale2 = _mm512_set1_ps(second), inverse2 = _mm512_set1_ps(1.0f / second);
        const __m512i ones = _mm512_set1_epi8(1);
        for (int k = 0; k < padded; k += 64, one += kStep, two += kStep) {
            __m512i digit[4], digit2[4];
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                const __m512 value = _mm512_load_ps(x + k + 16 * i);
                digit[i] = _mm512_cvtps_epi32(_mm512_mul_ps(value, inverse));
                const __m512 rest = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(digit[i]), scale, value);
                digit2[i] = _mm512_cvtps_epi32(_mm512_mul_ps(rest, inverse2));
                const __m512 rest2 = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(digit2[i]), scale2, rest);
                left = _mm512_fmadd_ps(rest, rest, left);
                left2 = _mm512_fmadd_ps(rest2, rest2, left2);
            }
            const __m512i first = packed(digit[0], digit[1], digit[2], digit[3]);
            const __m512i next = packed(digit2[0], digit2[1], digit2[2], digit2[3]);
            _mm512_store_si512(one, first);
            _mm512_store_si512(two, next);
            sum = _mm512_dpbusd_epi32(sum, ones, first);
            sum2 = _mm512_dpbusd_epi32(sum2, ones, next);
        }
    } else {
        for (int k = 0; k < padded; k += 64, one += kStep, two += kStep) {
            _mm512_store_si512(one, _mm512_setzero_si512());
            _mm512_store_si512(two, _mm512_setzero_si512());
        }
    }
    const __m128 sums = sums_of(measured.squares, left, left2, measured.term);
    alignas(16) float lengths[4];
    _mm_store_ps(lengths, _mm_sqrt_ps(_mm_max_ps(sums, _mm_setzero_ps())));
    row.length = lengths[0] * wide + tiny;
    row.residual = writable ? lengths[1] * wide + tiny : row.length;
    // The second term: `rest` and scale / 254 are themselves rounded to float32.
    row.residual2 = writable ? lengths[2] * wide + 0x1p-21f * row.residual + tiny : row.length;
    row.term = _mm_cvtss_f32(_mm_shuffle_ps(sums, sums, 3));
    const __m128i counted = sums_of(sum, sum2, sum, sum2);
    row.sum = _mm_extract_epi32(counted, 0);
    row.sum2 = _mm_extract_epi32(counted, 1);
    return row;
}

// What is certain of the length of a document, as crossalign_lengths returns it, by a sum of squares in float64 that is off
// by less than dim x 2^-52 of it: products of float32 are exact in float64.
[[gnu::noinline]] int known_length(const float* document, int dim, const double* limits) {
    __m512d even = _mm512_setzero_pd(), odd = _mm512_setzero_pd();
    for (int k = 0; k < dim; k += 16) {
        const __mmask16 here = dim - k >= 16 ? 0xffff : static_cast<__mmask16>((1u << (dim - k)) - 1);
        const __m512 value = _mm512_maskz_loadu_ps(here, document + k);
        const __m512d low = low_half(value), high = high_half(value);
        even = _mm512_fmadd_pd(low, low, even);
        odd = _mm512_fmadd_pd(high, high, odd);
    }
    const double length = __builtin_sqrt(_mm512_reduce_add_pd(_mm512_add_pd(even, odd)));
    if (!(length >= limits[0] * (1 + 0x1p-10) && length <= limits[1] * (1 - 0x1p-10))) return 0;
    return __builtin_fabs(length - 1) <= limits[2] - 0x1p-36 ? 2 : 1;
}

// Documents of one stripe in digits, where the kernel's product wants them: digit t of row i begins at Product::place(i, t,
// padded), in pieces of 64 that are Product::kStep bytes apart.
template <class Product>
struct Stripe {
    explicit Stripe(int padded)
        : digits(make_array<std::int8_t>(static_cast<std::size_t>(kStripe) * 2 * padded)),
          centered(make_array<float>(padded)) {}

    void fill(const Queries& queries, const Request& request, int first) {
        const int dim = queries.dim, padded = queries.padded;
        count = lesser(kStripe, request.rows - first);
        for (int i = 0; i < count; i++) {
            const float* document = request.documents + static_cast<std::size_t>(first + i) * request.stride;
            if (request.lengths != nullptr) known = lesser(known, known_length(document, dim, request.lengths));
            Measured measured;
            center_row(document, request.center, queries.center.get(), dim, centered.get(), measured);
            Row& row = rows[i] = digits_of<Product::kStep>(centered.get(), measured, dim, padded, digit(i, 0, padded),
                                                           digit(i, 1, padded));
            // The sum of the term's products, in 16 lanes, and three roundings of it and of sums it enters.
            row.slack = (widen(padded) - 1.0f) * queries.center_length * row.length + 0x1p-21f * __builtin_fabsf(row.term) +
                        static_cast<float>(dim * kTiny * kTiny);
        }
        tiles = (count + Product::kRows - 1) / Product::kRows;
        for (int i = count; i < tiles * Product::kRows; i++) {  // nothing passes in the rows that fill the last tile
            rows[i] = Row();
            rows[i].term = -kInfinity;
        }
        for (int group = 0; group < tiles * Product::kRows / kGroup; group++) {
            Row& most = largest[group] = Row();
            for (int i = 0; i < kGroup; i++) {
                const Row& row = rows[group * kGroup + i];
                most.length = greater(most.length, row.length);
                most.residual = greater(most.residual, row.residual);
                most.residual2 = greater(most.residual2, row.residual2);
                most.slack = greater(most.slack, row.slack);
            }
        }
    }

    std::int8_t* digit(int row, int which, std::size_t padded) const {
        return digits.get() + Product::place(row, which, padded);
    }

    int count = 0, tiles = 0, known = 2;  // known: the least known_length of all documents so far
    Array<std::int8_t> digits;
    Array<float> centered;
    Row rows[kStripe], largest[kStripe / kGroup];  // of each document, and the greatest of each group
};

// Fetches the documents of the next stripe into the second-level cache, a few lines with each tile.
class Ahead {
public:
    Ahead(const Request& request, int first, int tiles) {
        const std::int64_t rows = lesser(kStripe, request.rows - first);
        if (rows <= 0) return;
        next_ = reinterpret_cast<const char*>(request.documents + static_cast<std::size_t>(first) * request.stride);
        end_ = next_ + rows * request.stride * static_cast<std::int64_t>(sizeof(float));
        step_ = ((end_ - next_) / tiles / kAlign + 1) * kAlign;
    }
    void fetch() {
        const char* stop = lesser(end_, next_ + step_);
        for (; next_ < stop; next_ += kAlign) _mm_prefetch(next_, _MM_HINT_T1);
    }

private:
    const char *next_ = nullptr, *end_ = nullptr;
    std::int64_t step_ = 0;
};

// sum + <q, d> in 16 lanes of four digits.
__m512i dot(__m512i sum, const std::uint8_t* q, const std::int8_t* d) {
    return _mm512_dpbusd_epi32(sum, _mm512_load_si512(q), _mm512_load_si512(d));
}

// The sums of products of first digits with second ones, both ways, of listed pairs of rows; four pairs at a time.
// documents: as in a Stripe; queries: rows [2][padded] of digits + 128.
template <class Product>
[[gnu::noinline]] void cross_products(const std::int8_t* documents, const std::uint8_t* queries, std::size_t padded,
                                      const std::int32_t* document, const std::int32_t* query, int pairs, std::int32_t* sums) {
    const std::size_t other = Product::place(0, 1, padded);
    for (int pair = 0; pair < pairs; pair += 4) {
        const std::int8_t *d0 = documents + Product::place(document[pair], 0, padded),
                          *d1 = documents + Product::place(document[pair + 1], 0, padded),
                          *d2 = documents + Product::place(document[pair + 2], 0, padded),
                          *d3 = documents + Product::place(document[pair + 3], 0, padded);
        const std::uint8_t *q0 = queries + query[pair] * 2 * padded, *q1 = queries + query[pair + 1] * 2 * padded,
                           *q2 = queries + query[pair + 2] * 2 * padded, *q3 = queries + query[pair + 3] * 2 * padded;
        const __m512i zero = _mm512_setzero_si512();
        __m512i a0 = zero, a1 = zero, a2 = zero, a3 = zero, b0 = zero, b1 = zero, b2 = zero, b3 = zero;
        for (std::size_t k = 0, two = padded, d = 0; k < padded; k += 64, two += 64, d += Product::kStep) {
            a0 = dot(a0, q0 + k, d0 + other + d), b0 = dot(b0, q0 + two, d0 + d);
            a1 = dot(a1, q1 + k, d1 + other + d), b1 = dot(b1, q1 + two, d1 + d);
            a2 = dot(a2, q2 + k, d2 + other + d), b2 = dot(b2, q2 + two, d2 + d);
            a3 = dot(a3, q3 + k, d3 + other + d), b3 = dot(b3, q3 + two, d3 + d);
        }
        _mm_store_si128(reinterpret_cast<__m128i*>(sums + pair),
                        sums_of(_mm512_add_epi32(a0, b0), _mm512_add_epi32(a1, b1), _mm512_add_epi32(a2, b2),
                                _mm512_add_epi32(a3, b3)));
    }
}

// Queries in digits, and in panels as Product::fill_panels writes them; null where memory lacks.
template <class Product>
void* make_queries(const float* centered, const float* center, int count, int dim) {
    try {
        auto queries = std::make_unique<Queries>();
        const int padded = (dim + 63) / 64 * 64, width = (count + Product::kPanel - 1) / Product::kPanel * Product::kPanel;
        queries->count = count, queries->dim = dim, queries->padded = padded, queries->width = width;
        queries->center = make_array<float>(padded);
        std::memcpy(queries->center.get(), center, static_cast<std::size_t>(dim) * sizeof(float));
        __m512 squares = _mm512_setzero_ps();
        for (int k = 0; k < padded; k += 16) {
            const __m512 value = _mm512_load_ps(queries->center.get() + k);
            squares = _mm512_fmadd_ps(value, value, squares);
        }
        queries->center_length =
            __builtin_sqrtf(_mm512_reduce_add_ps(squares)) * widen(padded) + static_cast<float>(dim * kTiny);
        const std::size_t cells = static_cast<std::size_t>(width) * padded;
        queries->panels = make_array<std::int8_t>(Product::kDigits * cells);
        queries->digits = make_array<std::uint8_t>(2 * cells);
        queries->scale = make_array<float>(width), queries->length = make_array<float>(width);
        queries->residual = make_array<float>(width), queries->residual2 = make_array<float>(width);
        const auto zeros = make_array<float>(padded);
        queries->centered = make_array<float>(static_cast<std::size_t>(count) * padded);
        const auto both = make_array<std::int8_t>(2 * static_cast<std::size_t>(padded));
        const __m512i offset = _mm512_set1_epi8(-128);
        for (int i = 0; i < width; i++) {
            Row known;
            if (i < count) {
                float* row = queries->centered.get() + static_cast<std::size_t>(i) * padded;
                Measured measured;
                center_row(centered + static_cast<std::size_t>(i) * dim, zeros.get(), zeros.get(), dim, row, measured);
                known = digits_of<64>(row, measured, dim, padded, both.get(), both.get() + padded);
            } else {
                std::memset(both.get(), 0, 2 * static_cast<std::size_t>(padded));
            }
            queries->scale[i] = known.scale, queries->length[i] = known.length;
            queries->residual[i] = known.residual, queries->residual2[i] = known.residual2;
            std::uint8_t* digits = queries->digits.get() + static_cast<std::size_t>(i) * 2 * padded;
            for (int k = 0; k < 2 * padded; k += 64)
                _mm512_store_si512(digits + k, _mm512_add_epi8(_mm512_load_si512(both.get() + k), offset));
            Product::fill_panels(queries->panels.get(), i, both.get(), padded);
        }
        return queries.release();
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

void free_queries(void* queries) { delete static_cast<Queries*>(queries); }

}  // namespace
}  // namespace crossalign
