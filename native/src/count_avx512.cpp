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

// Write the digits of x[padded] and measure what they leave out.
Row digits_of(const float* x, int dim, int padded, std::int8_t* one, std::int8_t* two) {
    Row row;
    __m512 largest = _mm512_setzero_ps(), squares = _mm512_setzero_ps();
    for (int k = 0; k < padded; k += 16) {
        const __m512 value = _mm512_load_ps(x + k);
        largest = _mm512_max_ps(largest, _mm512_abs_ps(value));
        squares = _mm512_fmadd_ps(value, value, squares);
    }
    const float most = _mm512_reduce_max_ps(largest);
    const float wide = widen(padded), tiny = static_cast<float>(dim * kTiny);
    row.length = std::sqrt(_mm512_reduce_add_ps(squares)) * wide + tiny;
    if (most < 1e-30f) {  // its inverse could overflow; all of the row is residual
        std::memset(one, 0, static_cast<std::size_t>(padded));
        std::memset(two, 0, static_cast<std::size_t>(padded));
        row.residual = row.residual2 = row.length;
        return row;
    }
    row.scale = most / 127.0f;
    const float second = row.scale / 254.0f;
    const __m512 scale = _mm512_set1_ps(row.scale), inverse = _mm512_set1_ps(1.0f / row.scale);
    const __m512 scale2 = _mm512_set1_ps(second), inverse2 = _mm512_set1_ps(1.0f / second);
    const __m512i low = _mm512_set1_epi32(-127), high = _mm512_set1_epi32(127);
    __m512 left = _mm512_setzero_ps(), left2 = _mm512_setzero_ps();
    __m512i sum = _mm512_setzero_si512(), sum2 = _mm512_setzero_si512();
    const auto rounded = [&](__m512 value) {
        return _mm512_max_epi32(low, _mm512_min_epi32(high, _mm512_cvtps_epi32(value)));
    };
    for (int k = 0; k < padded; k += 16) {
        const __m512 value = _mm512_load_ps(x + k);
        const __m512i digit = rounded(_mm512_mul_ps(value, inverse));
        const __m512 rest = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(digit), scale, value);
        const __m512i digit2 = rounded(_mm512_mul_ps(rest, inverse2));
        const __m512 rest2 = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(digit2), scale2, rest);
        left = _mm512_fmadd_ps(rest, rest, left);
        left2 = _mm512_fmadd_ps(rest2, rest2, left2);
        sum = _mm512_add_epi32(sum, digit);
        sum2 = _mm512_add_epi32(sum2, digit2);
        _mm_store_si128(reinterpret_cast<__m128i*>(one + k), _mm512_cvtepi32_epi8(digit));
        _mm_store_si128(reinterpret_cast<__m128i*>(two + k), _mm512_cvtepi32_epi8(digit2));
    }
    row.sum = _mm512_reduce_add_epi32(sum);
    row.sum2 = _mm512_reduce_add_epi32(sum2);
    row.residual = std::sqrt(_mm512_reduce_add_ps(left)) * wide + tiny;
    // The second term: `rest` and scale / 254 are themselves rounded to float32.
    row.residual2 = std::sqrt(_mm512_reduce_add_ps(left2)) * wide + 0x1p-21f * row.residual + tiny;
    return row;
}

// Documents of one stripe in digits, with the term k.d' of each between two float32.
struct Stripe {
    explicit Stripe(int padded)
        : one(make_array<std::int8_t>(static_cast<std::size_t>(kStripe) * padded)),
          two(make_array<std::int8_t>(static_cast<std::size_t>(kStripe) * padded)),
          centered(make_array<float>(padded)) {}

    void fill(const Queries& queries, const Request& request, int first) {
        const int dim = queries.dim, padded = queries.padded;
        count = std::min(kStripe, request.rows - first);
        for (int i = 0; i < count; i++) {
            const float* document = request.documents + static_cast<std::size_t>(first + i) * request.stride;
            __m512d even = _mm512_setzero_pd(), odd = _mm512_setzero_pd();
            for (int k = 0; k < dim; k += 16) {
                const __mmask16 here = dim - k >= 16 ? 0xffff : static_cast<__mmask16>((1u << (dim - k)) - 1);
                const __m512 value = _mm512_sub_ps(_mm512_maskz_loadu_ps(here, document + k),
                                                   _mm512_maskz_loadu_ps(here, request.center + k));
                const __m512 center = _mm512_load_ps(queries.center.get() + k);
                _mm512_store_ps(centered.get() + k, value);
                even = _mm512_fmadd_pd(_mm512_cvtps_pd(_mm512_castps512_ps256(value)),
                                       _mm512_cvtps_pd(_mm512_castps512_ps256(center)), even);
                odd = _mm512_fmadd_pd(_mm512_cvtps_pd(_mm512_extractf32x8_ps(value, 1)),
                                      _mm512_cvtps_pd(_mm512_extractf32x8_ps(center, 1)), odd);
            }
            const std::size_t start = static_cast<std::size_t>(i) * padded;
            rows[i] = digits_of(centered.get(), dim, padded, one.get() + start, two.get() + start);
            const double term = _mm512_reduce_add_pd(_mm512_add_pd(even, odd));
            // Rounding to float32 here, and of the sum it enters later.
            const float slack = static_cast<float>(std::fabs(term) * 0x1p-21 + kTiny * kTiny);
            term_high[i] = static_cast<float>(term) + slack;
            term_low[i] = static_cast<float>(term) - slack;
        }
        const int tiles = (count + kRows - 1) / kRows;
        for (int i = count; i < tiles * kRows; i++) {  // nothing passes in the rows that fill the last tile
            std::memset(one.get() + static_cast<std::size_t>(i) * padded, 0, static_cast<std::size_t>(padded));
            rows[i] = Row();
            term_high[i] = term_low[i] = -kInfinity;
        }
    }

    int count = 0;
    Array<std::int8_t> one, two;
    Array<float> centered;
    Row rows[kStripe + kRows];
    float term_high[kStripe + kRows], term_low[kStripe + kRows];
};

// Sums of 8 documents and 48 queries: sums[i][j] = starts[i] + <documents[i], columns[j]>. All 24 vectors of sums stay in
// registers, which takes loops that are unrolled whole, in a function that does nothing else.
[[gnu::noinline]] void multiply_tile(const std::int8_t* documents, const std::uint8_t* columns, int padded,
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
            std::memcpy(&word, documents + static_cast<std::size_t>(i) * padded + k, 4);
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

// The sums of three vectors of integers, in the first three places.
__m128i sums_of(__m512i a, __m512i b, __m512i c) {
    const auto half = [](__m512i x) { return _mm256_add_epi32(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1)); };
    const __m256i last = half(c);
    const __m256i both = _mm256_hadd_epi32(_mm256_hadd_epi32(half(a), half(b)), _mm256_hadd_epi32(last, last));
    return _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
}

class Counting {
public:
    Counting(const Queries& queries, const Request& request)
        : queries_(queries),
          request_(request),
          stripe_(std::make_unique<Stripe>(queries.padded)),
          lowest_(make_array<float>(queries.width)),
          counts_(make_array<std::int32_t>(static_cast<std::size_t>(request.targets) * queries.width)),
          sums_(make_array<std::int32_t>(kRows * kPanel)),
          near_document_(make_array<std::int32_t>(kStripe * kPanel + 16)),
          near_query_(make_array<std::int32_t>(kStripe * kPanel + 16)) {
        for (int query = 0; query < queries.width; query++) {
            lowest_[query] = kInfinity;
            for (int r = 0; r < request.targets; r++)
                lowest_[query] = std::min(lowest_[query], request.lower[at(r, query)]);
        }
    }

    std::int64_t run() {
        for (int first = 0; first < request_.rows; first += kStripe) {
            stripe_->fill(queries_, request_, first);
            for (int panel = 0; panel < queries_.width; panel += kPanel) {
                near_ = 0;
                for (int tile = 0; tile < stripe_->count; tile += kRows) multiply(tile, panel);
                for (std::int64_t pair = 0; pair < near_; pair++)
                    look_closer(first, near_document_[pair], near_query_[pair]);
                if (open_ > request_.capacity) return open_;
            }
        }
        for (int r = 0; r < request_.targets; r++)
            for (int query = 0; query < queries_.count; query++)
                request_.greater[r * request_.greater_stride + query] += counts_[at(r, query)];
        return open_;
    }

private:
    std::size_t at(int target, int query) const { return static_cast<std::size_t>(target) * queries_.width + query; }

    // The sums of 8 documents and 48 queries, and what can be said of them at once.
    void multiply(int tile, int panel) {
        const int padded = queries_.padded;
        const std::int8_t* documents = stripe_->one.get() + static_cast<std::size_t>(tile) * padded;
        const std::uint8_t* columns = queries_.panels.get() + static_cast<std::size_t>(panel) * padded;
        std::int32_t starts[kRows];
        for (int i = 0; i < kRows; i++) starts[i] = -128 * stripe_->rows[tile + i].sum;
        multiply_tile(documents, columns, padded, starts, sums_.get());
        float longest = 0, residual = 0;
        for (int i = 0; i < kRows; i++) {
            longest = std::max(longest, stripe_->rows[tile + i].length);
            residual = std::max(residual, stripe_->rows[tile + i].residual);
        }
        for (int j = 0; j < kVectors; j++) {
            const int query = panel + 16 * j;
            if (query >= queries_.count) break;
            const __m512 scale = _mm512_load_ps(queries_.scale.get() + query);
            const __m512 length = _mm512_load_ps(queries_.length.get() + query);
            const __m512 lost = _mm512_load_ps(queries_.residual.get() + query);
            const __m512 kept = _mm512_add_ps(length, lost);
            const __m512 share = _mm512_add_ps(_mm512_fmadd_ps(length, _mm512_set1_ps(kSteps), lost),
                                               _mm512_loadu_ps(request_.rounding + query));
            const __m512 reach = _mm512_sub_ps(_mm512_load_ps(lowest_.get() + query), error(share, kept, longest, residual));
#pragma GCC unroll 8
            for (int i = 0; i < kRows; i++) {
                const int document = tile + i;
                const __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_load_si512(sums_.get() + i * kPanel + 16 * j)), scale);
                const __m512 high = _mm512_fmadd_ps(value, _mm512_set1_ps(stripe_->rows[document].scale),
                                                    _mm512_set1_ps(stripe_->term_high[document]));
                const __mmask16 passing = _mm512_cmp_ps_mask(high, reach, _CMP_GE_OQ);
                if (passing == 0) continue;
                const __m512 low = _mm512_fmadd_ps(value, _mm512_set1_ps(stripe_->rows[document].scale),
                                                   _mm512_set1_ps(stripe_->term_low[document]));
                const __m512 bound = error(share, kept, stripe_->rows[document].length, stripe_->rows[document].residual);
                decide(document, query, passing, _mm512_sub_ps(low, bound), _mm512_add_ps(high, bound));
            }
        }
    }

    static __m512 error(__m512 share, __m512 kept, float length, float residual) {
        const __m512 sum = _mm512_fmadd_ps(share, _mm512_set1_ps(length), _mm512_mul_ps(kept, _mm512_set1_ps(residual)));
        return _mm512_mul_ps(sum, _mm512_set1_ps(1.0f + 0x1p-20f));
    }

    // Count the queries for which every target is decided, and note the others.
    void decide(int document, int query, __mmask16 passing, __m512 low, __m512 high) {
        __mmask16 open = 0;
        for (int r = 0; r < request_.targets; r++) {
            const __mmask16 above =
                _mm512_mask_cmp_ps_mask(passing, low, _mm512_loadu_ps(request_.upper + at(r, query)), _CMP_GE_OQ);
            const __mmask16 within =
                _mm512_mask_cmp_ps_mask(passing, high, _mm512_loadu_ps(request_.lower + at(r, query)), _CMP_GE_OQ);
            open = static_cast<__mmask16>(open | (within & ~above));
        }
        const __mmask16 decided = static_cast<__mmask16>(passing & ~open);
        if (decided != 0) {
            for (int r = 0; r < request_.targets; r++) {
                const __mmask16 above =
                    _mm512_mask_cmp_ps_mask(decided, low, _mm512_loadu_ps(request_.upper + at(r, query)), _CMP_GE_OQ);
                std::int32_t* counts = counts_.get() + at(r, query);
                const __m512i before = _mm512_load_si512(counts);
                _mm512_store_si512(counts, _mm512_mask_add_epi32(before, above, before, _mm512_set1_epi32(1)));
            }
        }
        if (open == 0) return;
        const __m512i lanes = _mm512_add_epi32(
            _mm512_set1_epi32(query), _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
        // Compressed in a register: compressing into memory is slow on some processors.
        _mm512_storeu_si512(near_query_.get() + near_, _mm512_maskz_compress_epi32(open, lanes));
        _mm512_storeu_si512(near_document_.get() + near_, _mm512_set1_epi32(document));
        near_ += __builtin_popcount(open);
    }

    // Both digits of one pair.
    void look_closer(int first, int document, int query) {
        const int padded = queries_.padded;
        const std::size_t row = static_cast<std::size_t>(document) * padded, asked = static_cast<std::size_t>(query) * padded;
        __m512i whole = _mm512_setzero_si512(), cross = whole, cross2 = whole, last = whole;
        for (int k = 0; k < padded; k += 64) {
            const __m512i d1 = _mm512_load_si512(stripe_->one.get() + row + k), d2 = _mm512_load_si512(stripe_->two.get() + row + k);
            const __m512i q1 = _mm512_load_si512(queries_.one.get() + asked + k), q2 = _mm512_load_si512(queries_.two.get() + asked + k);
            whole = _mm512_dpbusd_epi32(whole, q1, d1);
            cross = _mm512_dpbusd_epi32(cross, q1, d2);
            cross2 = _mm512_dpbusd_epi32(cross2, q2, d1);
            last = _mm512_dpbusd_epi32(last, q2, d2);
        }
        const Row& known = stripe_->rows[document];
        const __m128i sums = sums_of(whole, _mm512_add_epi32(cross, cross2), last);
        const double sum = _mm_extract_epi32(sums, 0) - 128.0 * known.sum;
        const double sum2 = _mm_extract_epi32(sums, 1) - 128.0 * known.sum2 - 128.0 * known.sum;
        const double sum4 = _mm_extract_epi32(sums, 2) - 128.0 * known.sum2;
        const double product = (sum + sum2 * (1.0 / 254) + sum4 * (1.0 / 64516)) * (static_cast<double>(queries_.scale[query]) * known.scale);
        const double length = queries_.length[query], residual = queries_.residual2[query];
        const double bound = 1.000001 * ((residual + request_.rounding[query]) * known.length +
                                         (length + residual) * known.residual2 + 0x1p-40 * length * known.length);
        const double low = product + stripe_->term_low[document] - bound, high = product + stripe_->term_high[document] + bound;
        std::uint64_t bits = 0;
        for (int r = 0; r < request_.targets; r++) {  // no branch: none of them could be predicted
            const std::size_t cell = at(r, query);
            const bool above = low >= request_.upper[cell], within = high >= request_.lower[cell];
            counts_[cell] += above;
            bits |= static_cast<std::uint64_t>(within & !above) << r;
        }
        if (bits == 0) return;
        if (open_ < request_.capacity) {
            request_.open_document[open_] = first + document;
            request_.open_query[open_] = query;
            request_.open_targets[open_] = bits;
        }
        open_++;
    }

    const Queries& queries_;
    const Request& request_;
    std::unique_ptr<Stripe> stripe_;
    Array<float> lowest_;
    Array<std::int32_t> counts_, sums_, near_document_, near_query_;
    std::int64_t near_ = 0, open_ = 0;
};

}  // namespace

std::unique_ptr<Queries> make_queries_avx512(const float* centered, const float* center, int count, int dim) {
    auto queries = std::make_unique<Queries>();
    const int padded = (dim + 63) / 64 * 64, width = (count + kPanel - 1) / kPanel * kPanel;
    queries->count = count, queries->dim = dim, queries->padded = padded, queries->width = width;
    queries->center = make_array<float>(padded);
    std::memcpy(queries->center.get(), center, static_cast<std::size_t>(dim) * sizeof(float));
    const std::size_t cells = static_cast<std::size_t>(width) * padded;
    for (auto* digits : {&queries->panels, &queries->one, &queries->two}) {
        *digits = make_array<std::uint8_t>(cells);
        std::memset(digits->get(), 128, cells);
    }
    for (auto* values : {&queries->scale, &queries->length, &queries->residual, &queries->residual2})
        *values = make_array<float>(width);
    const auto row = make_array<float>(padded);
    const auto one = make_array<std::int8_t>(padded), two = make_array<std::int8_t>(padded);
    for (int i = 0; i < count; i++) {
        std::memcpy(row.get(), centered + static_cast<std::size_t>(i) * dim, static_cast<std::size_t>(dim) * sizeof(float));
        const Row known = digits_of(row.get(), dim, padded, one.get(), two.get());
        queries->scale[i] = known.scale, queries->length[i] = known.length;
        queries->residual[i] = known.residual, queries->residual2[i] = known.residual2;
        std::uint8_t* panel = queries->panels.get() + static_cast<std::size_t>(i / kPanel) * kPanel * padded;
        for (int k = 0; k < padded; k++) {
            const std::size_t cell = static_cast<std::size_t>(i) * padded + k;
            queries->one[cell] = static_cast<std::uint8_t>(one[k] + 128);
            queries->two[cell] = static_cast<std::uint8_t>(two[k] + 128);
            panel[(static_cast<std::size_t>(k / 4) * kPanel + i % kPanel) * 4 + k % 4] = queries->one[cell];
        }
    }
    return queries;
}

std::int64_t count_avx512(const Queries& queries, const Request& request) { return Counting(queries, request).run(); }

}  // namespace crossalign

#endif
