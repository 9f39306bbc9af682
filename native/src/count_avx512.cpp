// Counting with the 8-bit dot products of AVX512-VNNI. Compiled for these instructions; called only where they exist.
//
// A row x is x = s (one + two / 254) + rest. The product of the digits `one` of a query and a document is an integer and
// exact, so all that is lost is what the digits left out:
//
//     |q'.d' - s_q s_d <one_q, one_d>|  <=  |r_q| |d'| + |q'^| |r_d|        (Cauchy-Schwarz; q'^ = q' - r_q)
//
// with the lengths as measured. Pairs within that bound of a threshold are summed again with both digits, where the
// bound is about 1/254 of the first. What is open even then is for the caller.
#if defined(__x86_64__)

#include "vectors.h"

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace crossalign {
namespace {

constexpr int kVectors = kPanel / 16;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
// Squares below this may be flushed to zero.
constexpr double kTiny = 0x1p-62;
// Float32 steps from the integer to the compared value, as a share of |q'||d'|: conversion, two products, one sum.
constexpr float kSteps = 0x1p-20f;

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

// Write the digits of x[padded] and measure what they leave out. No digit exceeds 127 in magnitude: the greatest quotient
// is within 2^-22 of 127, and what it leaves within 2^-15 of half a step.
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
        for (int k = 0; k < padded; k += 64) {
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
            _mm512_store_si512(one + k, first);
            _mm512_store_si512(two + k, next);
            sum = _mm512_dpbusd_epi32(sum, ones, first);
            sum2 = _mm512_dpbusd_epi32(sum2, ones, next);
        }
    } else {
        std::memset(one, 0, static_cast<std::size_t>(padded));
        std::memset(two, 0, static_cast<std::size_t>(padded));
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

// Documents of one stripe in digits.
struct Stripe {
    explicit Stripe(int padded)
        : digits(make_array<std::int8_t>(static_cast<std::size_t>(kStripe) * 2 * padded)),
          centered(make_array<float>(padded)) {}

    void fill(const Queries& queries, const Request& request, int first) {
        const int dim = queries.dim, padded = queries.padded;
        count = std::min(kStripe, request.rows - first);
        for (int i = 0; i < count; i++) {
            const float* document = request.documents + static_cast<std::size_t>(first + i) * request.stride;
            Measured measured;
            center_row(document, request.center, queries.center.get(), dim, centered.get(), measured);
            std::int8_t* one = digits.get() + static_cast<std::size_t>(i) * 2 * padded;
            Row& row = rows[i] = digits_of(centered.get(), measured, dim, padded, one, one + padded);
            // The sum of the term's products, in 16 lanes, and three roundings of it and of sums it enters.
            row.slack = (widen(padded) - 1.0f) * queries.center_length * row.length + 0x1p-21f * std::fabs(row.term) +
                        static_cast<float>(dim * kTiny * kTiny);
        }
        const int tiles = (count + kRows - 1) / kRows;
        for (int i = count; i < tiles * kRows; i++) {  // nothing passes in the rows that fill the last tile
            std::memset(digits.get() + static_cast<std::size_t>(i) * 2 * padded, 0, static_cast<std::size_t>(padded));
            rows[i] = Row();
            rows[i].term = -kInfinity;
        }
        for (int tile = 0; tile < tiles; tile++) {
            Row& most = largest[tile] = Row();
            for (int i = 0; i < kRows; i++) {
                const Row& row = rows[tile * kRows + i];
                starts[tile * kRows + i] = -128 * row.sum;
                most.length = std::max(most.length, row.length);
                most.residual = std::max(most.residual, row.residual);
                most.slack = std::max(most.slack, row.slack);
            }
        }
    }

    int count = 0;
    Array<std::int8_t> digits;  // [kStripe][2][padded] one and two
    Array<float> centered;
    Row rows[kStripe], largest[kStripe / kRows];  // of each document, and the greatest of each tile
    std::int32_t starts[kStripe];
};

// Sums of 8 documents and 48 queries: sums[i][j] = starts[i] + <documents[i], columns[j]>. All 24 vectors of sums stay in
// registers, which takes loops that are unrolled whole, in a function that does nothing else.
[[gnu::noinline]] void multiply_tile(const std::int8_t* documents, std::size_t stride, const std::uint8_t* columns, int padded,
                                     const std::int32_t* starts, std::int32_t* sums) {
    __m512i held[kRows][kVectors];
#pragma GCC unroll 8
    for (int i = 0; i < kRows; i++)
#pragma GCC unroll 3
        for (int j = 0; j < kVectors; j++) held[i][j] = _mm512_set1_epi32(starts[i]);
    for (int k = 0; k < padded; k += 4) {
        const std::uint8_t* here = columns + static_cast<std::size_t>(k) * kPanel;
        const __m512i first = _mm512_load_si512(here), second = _mm512_load_si512(here + 64),
                      third = _mm512_load_si512(here + 128);
#pragma GCC unroll 8
        for (int i = 0; i < kRows; i++) {
            std::int32_t word;
            std::memcpy(&word, documents + i * stride + k, 4);
            const __m512i digits = _mm512_set1_epi32(word);
            held[i][0] = _mm512_dpbusd_epi32(held[i][0], first, digits);
            held[i][1] = _mm512_dpbusd_epi32(held[i][1], second, digits);
            held[i][2] = _mm512_dpbusd_epi32(held[i][2], third, digits);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < kRows; i++)
#pragma GCC unroll 3
        for (int j = 0; j < kVectors; j++) _mm512_store_si512(sums + i * kPanel + 16 * j, held[i][j]);
}

// sum + <q, d> in 16 lanes of four digits.
__m512i dot(__m512i sum, const std::uint8_t* q, const std::int8_t* d) {
    return _mm512_dpbusd_epi32(sum, _mm512_load_si512(q), _mm512_load_si512(d));
}

// The sums of products of first digits with second ones, both ways, of listed pairs of rows; four pairs at a time.
// documents, queries: rows [2][padded] of both digits.
[[gnu::noinline]] void cross_products(const std::int8_t* documents, const std::uint8_t* queries, std::size_t padded,
                                      const std::int32_t* document, const std::int32_t* query, int pairs, std::int32_t* sums) {
    for (int pair = 0; pair < pairs; pair += 4) {
        const std::int8_t *d0 = documents + document[pair] * 2 * padded, *d1 = documents + document[pair + 1] * 2 * padded,
                          *d2 = documents + document[pair + 2] * 2 * padded, *d3 = documents + document[pair + 3] * 2 * padded;
        const std::uint8_t *q0 = queries + query[pair] * 2 * padded, *q1 = queries + query[pair + 1] * 2 * padded,
                           *q2 = queries + query[pair + 2] * 2 * padded, *q3 = queries + query[pair + 3] * 2 * padded;
        const __m512i zero = _mm512_setzero_si512();
        __m512i a0 = zero, a1 = zero, a2 = zero, a3 = zero, b0 = zero, b1 = zero, b2 = zero, b3 = zero;
        for (std::size_t k = 0, two = padded; k < padded; k += 64, two += 64) {
            a0 = dot(a0, q0 + k, d0 + two), b0 = dot(b0, q0 + two, d0 + k);
            a1 = dot(a1, q1 + k, d1 + two), b1 = dot(b1, q1 + two, d1 + k);
            a2 = dot(a2, q2 + k, d2 + two), b2 = dot(b2, q2 + two, d2 + k);
            a3 = dot(a3, q3 + k, d3 + two), b3 = dot(b3, q3 + two, d3 + k);
        }
        _mm_store_si128(reinterpret_cast<__m128i*>(sums + pair),
                        sums_of(_mm512_add_epi32(a0, b0), _mm512_add_epi32(a1, b1), _mm512_add_epi32(a2, b2),
                                _mm512_add_epi32(a3, b3)));
    }
}

// Counts for `kTargets` targets of each query; 0 for any number of them.
template <int kTargets>
class Counting {
public:
    Counting(const Queries& queries, const Request& request)
        : queries_(queries),
          request_(request),
          stripe_(std::make_unique<Stripe>(queries.padded)),
          lowest_(make_array<float>(queries.width)),
          share_(make_array<float>(queries.width)),
          kept_(make_array<float>(queries.width)),
          closer_share_(make_array<float>(queries.width)),
          closer_kept_(make_array<float>(queries.width)),
          second_(make_array<float>(queries.width)),
          counts_(make_array<std::int32_t>(static_cast<std::size_t>(request.targets) * queries.width)),
          sums_(make_array<std::int32_t>(2 * kRows * kPanel)),
          near_document_(make_array<std::int32_t>(kMostNear)),
          near_query_(make_array<std::int32_t>(kMostNear)),
          near_sum_(make_array<std::int32_t>(kMostNear)),
          near_value_(make_array<float>(kMostNear)) {
        for (int query = 0; query < queries.width; query++) {
            lowest_[query] = kInfinity;
            for (int r = 0; r < request.targets; r++)
                lowest_[query] = std::min(lowest_[query], request.lower[at(r, query)]);
            const float length = queries.length[query], residual = queries.residual[query];
            const float residual2 = queries.residual2[query], rounding = request.rounding[query];
            share_[query] = length * kSteps + residual + rounding;
            kept_[query] = length + residual;
            closer_share_[query] = 2 * length * kSteps + residual2 + rounding;
            closer_kept_[query] = length + residual2;
            second_[query] = residual + residual2;
        }
    }

    std::int64_t run() {
        for (int first = 0; first < request_.rows; first += kStripe) {
            stripe_->fill(queries_, request_, first);
            first_ = first;
            const int tiles = (stripe_->count + kRows - 1) / kRows;
            Ahead ahead(request_, first + kStripe, tiles * (queries_.width / kPanel));
            for (int panel = 0; panel < queries_.width; panel += kPanel) {
                // A tile is looked at while the next is multiplied: what the processor guesses wrong costs little then.
                for (int tile = 0; tile < tiles; tile++) {
                    multiply(tile, panel);
                    ahead.fetch();
                    if (tile > 0) compare(tile - 1, panel);
                }
                compare(tiles - 1, panel);
            }
            look_closer();
            for (const Last& pair : last_) sum_up(pair);
            last_.clear();
            if (open_ > request_.capacity) return open_;
        }
        for (int r = 0; r < targets(); r++)
            for (int query = 0; query < queries_.count; query++)
                request_.greater[r * request_.greater_stride + query] += counts_[at(r, query)];
        return open_;
    }

private:
    static constexpr int kNear = 256;  // pairs within the bound of the first digits that are collected at least
    static constexpr int kMostNear = kNear + kRows * kPanel + 16;

    static constexpr int kMost = kTargets > 0 ? kTargets : 64;

    // Queries from `query` on whose first digits leave a document open: which, and where they stand among the pairs.
    struct Group {
        std::int32_t document, query, first;
        __mmask16 open;
    };

    // A pair that the digits leave open, and a bit for each open target.
    struct Last {
        std::int32_t document, query;
        std::uint64_t bits;
    };

    // Fetches the documents of the next stripe into the second-level cache, a few lines with each tile.
    class Ahead {
    public:
        Ahead(const Request& request, int first, int tiles) {
            const std::int64_t rows = std::min<std::int64_t>(kStripe, request.rows - first);
            if (rows <= 0) return;
            next_ = reinterpret_cast<const char*>(request.documents + static_cast<std::size_t>(first) * request.stride);
            end_ = next_ + rows * request.stride * static_cast<std::int64_t>(sizeof(float));
            step_ = ((end_ - next_) / tiles / kAlign + 1) * kAlign;
        }
        void fetch() {
            const char* stop = std::min(end_, next_ + step_);
            for (; next_ < stop; next_ += kAlign) _mm_prefetch(next_, _MM_HINT_T1);
        }

    private:
        const char *next_ = nullptr, *end_ = nullptr;
        std::int64_t step_ = 0;
    };

    int targets() const { return kTargets > 0 ? kTargets : request_.targets; }
    std::size_t at(int target, int query) const { return static_cast<std::size_t>(target) * queries_.width + query; }
    std::int32_t* sums(int tile) const { return sums_.get() + tile % 2 * kRows * kPanel; }

    void multiply(int tile, int panel) {
        const std::size_t padded = queries_.padded;
        multiply_tile(stripe_->digits.get() + tile * kRows * 2 * padded, 2 * padded, queries_.panels.get() + panel * padded, queries_.padded,
                      stripe_->starts + tile * kRows, sums(tile));
    }

    // What can be said of the sums of 8 documents and 48 queries at once.
    void compare(int tile, int panel) {
        const std::int32_t* sums = this->sums(tile);
        const Row *rows = stripe_->rows + tile * kRows, &largest = stripe_->largest[tile];
        std::uint32_t found[kRows * kVectors];
        int count = 0;
        for (int j = 0; j < kVectors; j++) {
            const int query = panel + 16 * j;
            const __m512 scale = _mm512_load_ps(queries_.scale.get() + query);
            const __m512 reach = _mm512_sub_ps(_mm512_load_ps(lowest_.get() + query), error(largest, query));
#pragma GCC unroll 8
            for (int i = 0; i < kRows; i++) {
                const __m512 values = value(sums + i * kPanel + 16 * j, scale, rows[i]);
                const __mmask16 passing = _mm512_cmp_ps_mask(values, reach, _CMP_GE_OQ);
                // No branch: it could not be predicted.
                found[count] = static_cast<std::uint32_t>(passing) | static_cast<std::uint32_t>(i * kVectors + j) << 16;
                count += passing != 0;
            }
        }
        for (int one = 0; one < count; one++) {
            const int place = static_cast<int>(found[one] >> 16), i = place / kVectors, j = place % kVectors;
            const int query = panel + 16 * j;
            const __m512 scale = _mm512_load_ps(queries_.scale.get() + query);
            decide(tile * kRows + i, query, static_cast<__mmask16>(found[one]),
                   value(sums + i * kPanel + 16 * j, scale, rows[i]), error(rows[i], query));
        }
        if (near_ >= kNear) look_closer();
    }

    static __m512 value(const std::int32_t* sums, __m512 scale, const Row& row) {
        const __m512 product = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_load_si512(sums)), scale);
        return _mm512_fmadd_ps(product, _mm512_set1_ps(row.scale), _mm512_set1_ps(row.term));
    }

    // Bound of the error of 16 queries' values with a document.
    __m512 error(const Row& row, int query) const {
        const __m512 share = _mm512_load_ps(share_.get() + query), kept = _mm512_load_ps(kept_.get() + query);
        const __m512 lost = _mm512_fmadd_ps(kept, _mm512_set1_ps(row.residual), _mm512_set1_ps(row.slack));
        const __m512 sum = _mm512_fmadd_ps(share, _mm512_set1_ps(row.length), lost);
        return _mm512_mul_ps(sum, _mm512_set1_ps(1.0f + 0x1p-19f));
    }

    // Count the queries for which every target is decided, and note the others.
    void decide(int document, int query, __mmask16 passing, __m512 value, __m512 error) {
        const __m512 low = _mm512_sub_ps(value, error), high = _mm512_add_ps(value, error);
        __mmask16 open = 0, above[kMost];
        for (int r = 0; r < targets(); r++) {
            above[r] = _mm512_mask_cmp_ps_mask(passing, low, _mm512_loadu_ps(request_.upper + at(r, query)), _CMP_GE_OQ);
            const __mmask16 within =
                _mm512_mask_cmp_ps_mask(passing, high, _mm512_loadu_ps(request_.lower + at(r, query)), _CMP_GE_OQ);
            open = static_cast<__mmask16>(open | (within & ~above[r]));
        }
        for (int r = 0; r < targets(); r++) count(r, query, static_cast<__mmask16>(above[r] & ~open));
        if (open == 0) return;
        const __m512i lanes = _mm512_add_epi32(
            _mm512_set1_epi32(query), _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
        // Compressed in a register: compressing into memory is slow on some processors.
        _mm512_storeu_si512(near_query_.get() + near_, _mm512_maskz_compress_epi32(open, lanes));
        _mm512_storeu_ps(near_value_.get() + near_, _mm512_maskz_compress_ps(open, value));
        _mm512_storeu_si512(near_document_.get() + near_, _mm512_set1_epi32(document));
        groups_[group_count_++] = {document, query, near_, open};
        near_ += __builtin_popcount(open);
    }

    // Add the products of first and second digits to the values of the pairs collected.
    void look_closer() {
        if (near_ == 0) return;
        for (int i = near_; i % 4 != 0; i++) near_document_[i] = near_query_[i] = 0;
        cross_products(stripe_->digits.get(), queries_.digits.get(), queries_.padded, near_document_.get(), near_query_.get(),
                       near_, near_sum_.get());
        for (int one = 0; one < group_count_; one++) decide_closer(groups_[one]);
        near_ = group_count_ = 0;
    }

    void decide_closer(const Group& group) {
        const int query = group.query;
        const Row& row = stripe_->rows[group.document];
        const auto of_queries = [&](const Array<float>& values) { return _mm512_load_ps(values.get() + query); };
        const __m512i sums = _mm512_sub_epi32(_mm512_maskz_expand_epi32(group.open, _mm512_loadu_si512(near_sum_.get() + group.first)),
                                              _mm512_set1_epi32(128 * (row.sum + row.sum2)));
        const __m512 scale = _mm512_mul_ps(of_queries(queries_.scale), _mm512_set1_ps(row.scale * (1.0f / 254)));
        const __m512 value = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums), scale,
                                             _mm512_maskz_expand_ps(group.open, _mm512_loadu_ps(near_value_.get() + group.first)));
        __m512 error = _mm512_fmadd_ps(of_queries(closer_share_), _mm512_set1_ps(row.length), _mm512_set1_ps(row.slack));
        error = _mm512_fmadd_ps(of_queries(closer_kept_), _mm512_set1_ps(row.residual2), error);
        error = _mm512_fmadd_ps(of_queries(second_), _mm512_set1_ps(row.residual + row.residual2), error);
        error = _mm512_mul_ps(error, _mm512_set1_ps(1.0f + 0x1p-19f));
        const __m512 low = _mm512_sub_ps(value, error), high = _mm512_add_ps(value, error);
        __mmask16 left = 0, open[kMost];
        for (int r = 0; r < targets(); r++) {
            const __mmask16 above =
                _mm512_mask_cmp_ps_mask(group.open, low, _mm512_loadu_ps(request_.upper + at(r, query)), _CMP_GE_OQ);
            const __mmask16 within =
                _mm512_mask_cmp_ps_mask(group.open, high, _mm512_loadu_ps(request_.lower + at(r, query)), _CMP_GE_OQ);
            count(r, query, above);
            open[r] = static_cast<__mmask16>(within & ~above);
            left = static_cast<__mmask16>(left | open[r]);
        }
        for (unsigned lanes = left; lanes != 0; lanes &= lanes - 1) {
            const int lane = __builtin_ctz(lanes);
            std::uint64_t bits = 0;
            for (int r = 0; r < targets(); r++) bits |= static_cast<std::uint64_t>(open[r] >> lane & 1) << r;
            postpone({group.document, query + lane, bits});
        }
    }

    void count(int r, int query, __mmask16 lanes) {
        std::int32_t* counts = counts_.get() + at(r, query);
        const __m512i before = _mm512_load_si512(counts);
        _mm512_store_si512(counts, _mm512_mask_add_epi32(before, lanes, before, _mm512_set1_epi32(1)));
    }

    [[gnu::noinline]] void postpone(const Last& pair) {
        last_.push_back(pair);
        const auto fetch = [](const float* row, int dim) {
            for (int k = 0; k < dim; k += kAlign / static_cast<int>(sizeof(float)))
                _mm_prefetch(reinterpret_cast<const char*>(row + k), _MM_HINT_T1);
        };
        fetch(vector_of(pair.document), queries_.dim);
        fetch(asked_of(pair.query), queries_.dim);
    }

    const float* vector_of(int document) const {
        return request_.documents + static_cast<std::size_t>(first_ + document) * request_.stride;
    }
    const float* asked_of(int query) const {
        return queries_.centered.get() + static_cast<std::size_t>(query) * queries_.padded;
    }

    // The sum of a pair in float64, for the targets that are still open.
    void sum_up(const Last& pair) {
        const float *vector = vector_of(pair.document), *asked = asked_of(pair.query);
        __m512d even = _mm512_setzero_pd(), odd = _mm512_setzero_pd();
        for (int k = 0; k < queries_.dim; k += 16) {
            const __m512 d = centered_part(vector, request_.center, queries_.dim, k);
            const __m512 q = _mm512_load_ps(asked + k), center = _mm512_load_ps(queries_.center.get() + k);
            even = _mm512_fmadd_pd(low_half(d), _mm512_add_pd(low_half(q), low_half(center)), even);
            odd = _mm512_fmadd_pd(high_half(d), _mm512_add_pd(high_half(q), high_half(center)), odd);
        }
        const double sum = _mm512_reduce_add_pd(_mm512_add_pd(even, odd));
        const double error = 1.000001 * request_.rounding[pair.query] * stripe_->rows[pair.document].length;
        std::uint64_t open = 0;
        for (std::uint64_t bits = pair.bits; bits != 0; bits &= bits - 1) {
            const int r = __builtin_ctzll(bits);
            const std::size_t cell = at(r, pair.query);
            if (sum - error >= request_.upper[cell]) {
                counts_[cell]++;
            } else if (sum + error >= request_.lower[cell]) {
                open |= std::uint64_t{1} << r;
            }
        }
        if (open == 0) return;
        if (open_ < request_.capacity) {
            request_.open_document[open_] = first_ + pair.document;
            request_.open_query[open_] = pair.query;
            request_.open_targets[open_] = open;
        }
        open_++;
    }

    const Queries& queries_;
    const Request& request_;
    std::unique_ptr<Stripe> stripe_;
    Array<float> lowest_, share_, kept_, closer_share_, closer_kept_, second_;
    Array<std::int32_t> counts_, sums_, near_document_, near_query_, near_sum_;
    Array<float> near_value_;
    std::vector<Last> last_;
    Group groups_[kMostNear];
    int near_ = 0, group_count_ = 0, first_ = 0;
    std::int64_t open_ = 0;
};

}  // namespace

std::unique_ptr<Queries> make_queries_avx512(const float* centered, const float* center, int count, int dim) {
    auto queries = std::make_unique<Queries>();
    const int padded = (dim + 63) / 64 * 64, width = (count + kPanel - 1) / kPanel * kPanel;
    queries->count = count, queries->dim = dim, queries->padded = padded, queries->width = width;
    queries->center = make_array<float>(padded);
    std::memcpy(queries->center.get(), center, static_cast<std::size_t>(dim) * sizeof(float));
    __m512 squares = _mm512_setzero_ps();
    for (int k = 0; k < padded; k += 16) {
        const __m512 value = _mm512_load_ps(queries->center.get() + k);
        squares = _mm512_fmadd_ps(value, value, squares);
    }
    queries->center_length = std::sqrt(_mm512_reduce_add_ps(squares)) * widen(padded) + static_cast<float>(dim * kTiny);
    const std::size_t cells = static_cast<std::size_t>(width) * padded;
    queries->panels = make_array<std::uint8_t>(cells);
    std::memset(queries->panels.get(), 128, cells);
    queries->digits = make_array<std::uint8_t>(2 * cells);
    for (auto* values : {&queries->scale, &queries->length, &queries->residual, &queries->residual2})
        *values = make_array<float>(width);
    const auto zeros = make_array<float>(padded);
    queries->centered = make_array<float>(static_cast<std::size_t>(count) * padded);
    const auto one = make_array<std::int8_t>(padded), two = make_array<std::int8_t>(padded);
    for (int i = 0; i < count; i++) {
        float* row = queries->centered.get() + static_cast<std::size_t>(i) * padded;
        Measured measured;
        center_row(centered + static_cast<std::size_t>(i) * dim, zeros.get(), zeros.get(), dim, row, measured);
        const Row known = digits_of(row, measured, dim, padded, one.get(), two.get());
        queries->scale[i] = known.scale, queries->length[i] = known.length;
        queries->residual[i] = known.residual, queries->residual2[i] = known.residual2;
        std::uint8_t* panel = queries->panels.get() + static_cast<std::size_t>(i / kPanel) * kPanel * padded;
        for (int k = 0; k < padded; k++) {
            std::uint8_t* digits = queries->digits.get() + static_cast<std::size_t>(i) * 2 * padded;
            digits[k] = static_cast<std::uint8_t>(one[k] + 128);
            digits[padded + k] = static_cast<std::uint8_t>(two[k] + 128);
            panel[(static_cast<std::size_t>(k / 4) * kPanel + i % kPanel) * 4 + k % 4] = digits[k];
        }
    }
    return queries;
}

std::int64_t count_avx512(const Queries& queries, const Request& request) {
    if (request.targets == 1) return Counting<1>(queries, request).run();
    if (request.targets == 2) return Counting<2>(queries, request).run();
    return Counting<0>(queries, request).run();
}

}  // namespace crossalign

#endif
