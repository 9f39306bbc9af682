// What is said of the sums of a kernel's product: counted, summed again with second digits, or left for the caller.
//
// A kernel's Product has: kPanel queries and kRows documents of a tile, kDigits in its panels, kStep and place (see Stripe),
// fill_panels, multiply, and a Session for as long as it multiplies. Where kMultipliesAcross, also multiply_across: panels
// with many pairs within the bound are then multiplied by both digits at once.
#pragma once

#include "rows.h"

namespace crossalign {
namespace {

// Counts for `kTargets` targets of each query; 0 for any number of them.
template <class Product, int kTargets>
class Counting {
public:
    Counting(const Queries& queries, const Request& request)
        : queries_(queries),
          request_(request),
          stripe_(std::make_unique<Stripe<Product>>(queries.padded)),
          lowest_(make_array<float>(queries.width)),
          share_(make_array<float>(queries.width)),
          kept_(make_array<float>(queries.width)),
          closer_share_(make_array<float>(queries.width)),
          closer_kept_(make_array<float>(queries.width)),
          second_(make_array<float>(queries.width)),
          counts_(make_array<std::int32_t>(static_cast<std::size_t>(request.targets) * queries.width)),
          sums_(make_array<std::int32_t>(4 * kRows * kPanel)),
          near_document_(make_array<std::int32_t>(kMostNear)),
          near_query_(make_array<std::int32_t>(kMostNear)),
          near_sum_(make_array<std::int32_t>(kMostNear)),
          near_value_(make_array<float>(kMostNear)),
          reached_(make_array<std::int64_t>(queries.width / kPanel)),
          tried_(make_array<std::int64_t>(queries.width / kPanel)),
          last_(make_array<Last>(kMostLast)) {
        for (int query = 0; query < queries.width; query++) {
            lowest_[query] = kInfinity;
            for (int r = 0; r < request.targets; r++)
                lowest_[query] = lesser(lowest_[query], request.lower[at(r, query)]);
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
            Ahead ahead(request_, first + kStripe, stripe_->tiles * (queries_.width / kPanel));
            for (int panel = 0; panel < queries_.width; panel += kPanel) {
                bool crowded = false;
                if constexpr (Product::kMultipliesAcross) crowded = 16 * reached_[panel / kPanel] > kCrowd * tried_[panel / kPanel];
                if (crowded)
                    look_at_both(panel, ahead);
                else
                    look_at(panel, ahead);
            }
            look_closer();
            sum_up();
            if (open_ > request_.capacity) return open_;
        }
        if (request_.lengths != nullptr) *request_.known = stripe_->known;
        for (int r = 0; r < targets(); r++)
            for (int query = 0; query < queries_.count; query++)
                request_.greater[r * request_.greater_stride + query] += counts_[at(r, query)];
        return open_;
    }

private:
    static constexpr int kRows = Product::kRows, kPanel = Product::kPanel, kVectors = kPanel / 16;
    static constexpr int kNear = 256;  // pairs within the bound of the first digits that are collected at least
    static constexpr int kMostNear = kNear + kRows * kPanel + 16;

    static constexpr int kMost = kTargets > 0 ? kTargets : 64;
    static constexpr int kMostLast = 4096;
    // How many vectors of 16 pairs reach their thresholds, in 16 documents and a panel, where both digits at once are faster.
    static constexpr int kCrowd = 4;

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

    int targets() const { return kTargets > 0 ? kTargets : request_.targets; }
    std::size_t at(int target, int query) const { return static_cast<std::size_t>(target) * queries_.width + query; }
    std::int32_t* sums(int tile) const { return sums_.get() + tile % 2 * kRows * kPanel; }
    std::int32_t* across(int tile) const { return sums_.get() + (2 + tile % 2) * kRows * kPanel; }

    const std::int8_t* columns(int panel) const {
        return queries_.panels.get() + static_cast<std::size_t>(panel) * Product::kDigits * queries_.padded;
    }

    // A tile is looked at while the next is multiplied: what the processor guesses wrong costs little then.
    void look_at(int panel, Ahead& ahead) {
        for (int tile = 0; tile < stripe_->tiles; tile++) {
            Product::multiply(stripe_->digit(tile * kRows, 0, queries_.padded), stripe_->rows + tile * kRows, columns(panel),
                              queries_.padded, sums(tile));
            ahead.fetch();
            if (tile > 0) compare(tile - 1, panel);
        }
        compare(stripe_->tiles - 1, panel);
    }

    // The same by both digits.
    void look_at_both(int panel, Ahead& ahead) {
        if constexpr (Product::kMultipliesAcross) {
            for (int tile = 0; tile < stripe_->tiles; tile++) {
                const std::int8_t* documents = stripe_->digit(tile * kRows, 0, queries_.padded);
                Product::multiply(documents, stripe_->rows + tile * kRows, columns(panel), queries_.padded, sums(tile));
                Product::multiply_across(documents, columns(panel), queries_.padded, across(tile));
                ahead.fetch();
                if (tile > 0) decide_both(tile - 1, panel);
            }
            decide_both(stripe_->tiles - 1, panel);
        }
    }

    void decide_both(int tile, int panel) {
        for (int first = 0; first < kRows; first += 16)
            for (int j = 0; j < kPanel; j += 16)
                decide_both(tile * kRows + first, panel + j, sums(tile) + first * kPanel + j, across(tile) + first * kPanel + j);
    }

    // Count 16 documents for 16 queries, by sums of both digits.
    void decide_both(int first, int query, const std::int32_t* sums, const std::int32_t* across) {
        const Row* rows = stripe_->rows + first;
        const __m512 scale = _mm512_load_ps(queries_.scale.get() + query);
        __m512 values[16], errors[2];
        for (int i = 0; i < 16; i++)
            values[i] = closer_value(_mm512_load_si512(across + i * kPanel), scale, rows[i],
                                     value(sums + i * kPanel, scale, rows[i]));
        for (int group = 0; group < 2; group++)
            errors[group] = closer_error(stripe_->largest[first / kGroup + group], query);
        __mmask16 left = 0;
        for (int r = 0; r < targets(); r++) {
            const __m512 upper = _mm512_loadu_ps(request_.upper + at(r, query));
            const __m512 lower = _mm512_loadu_ps(request_.lower + at(r, query));
            __m512i above = _mm512_setzero_si512(), within = _mm512_setzero_si512();
            const __m512i one = _mm512_set1_epi32(1);
#pragma GCC unroll 16
            for (int i = 0; i < 16; i++) {
                const __mmask16 is_above = _mm512_cmp_ps_mask(values[i], _mm512_add_ps(upper, errors[i / 8]), _CMP_GE_OQ);
                const __mmask16 is_within = _mm512_cmp_ps_mask(values[i], _mm512_sub_ps(lower, errors[i / 8]), _CMP_GE_OQ);
                above = _mm512_mask_add_epi32(above, is_above, above, one);
                within = _mm512_mask_add_epi32(within, is_within, within, one);
            }
            std::int32_t* counts = counts_.get() + at(r, query);
            _mm512_store_si512(counts, _mm512_add_epi32(_mm512_load_si512(counts), above));
            left = static_cast<__mmask16>(left | _mm512_cmpneq_epi32_mask(above, within));
        }
        if (left != 0) note_open(first, query, values, errors);
    }

    // Note which of the pairs of 16 documents and 16 queries are open.
    [[gnu::noinline]] void note_open(int first, int query, const __m512* values, const __m512* errors) {
        for (int i = 0; i < 16; i++) {
            __mmask16 open[kMost];
            for (int r = 0; r < targets(); r++) {
                const __m512 upper = _mm512_add_ps(_mm512_loadu_ps(request_.upper + at(r, query)), errors[i / 8]);
                const __m512 lower = _mm512_sub_ps(_mm512_loadu_ps(request_.lower + at(r, query)), errors[i / 8]);
                const __mmask16 below = _mm512_cmp_ps_mask(values[i], upper, _CMP_LT_OQ);
                open[r] = _mm512_mask_cmp_ps_mask(below, values[i], lower, _CMP_GE_OQ);
            }
            postpone(first + i, query, open);
        }
    }

    // What can be said of the sums of a tile at once.
    void compare(int tile, int panel) {
        const std::int32_t* sums = this->sums(tile);
        const Row *rows = stripe_->rows + tile * kRows, *largest = stripe_->largest + tile * kRows / kGroup;
        std::uint32_t found[kRows * kVectors];
        int count = 0;
        for (int j = 0; j < kVectors; j++) {
            const int query = panel + 16 * j;
            const __m512 scale = _mm512_load_ps(queries_.scale.get() + query);
            const __m512 lowest = _mm512_load_ps(lowest_.get() + query);
            __m512 reach;
#pragma GCC unroll 8
            for (int i = 0; i < kRows; i++) {
                if (i % kGroup == 0) reach = _mm512_sub_ps(lowest, error(largest[i / kGroup], query));
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
        reached_[panel / kPanel] += count;
        tried_[panel / kPanel] += kRows;
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

    // `first`, with the products of first and second digits added.
    static __m512 closer_value(__m512i cross, __m512 scale, const Row& row, __m512 first) {
        const __m512 step = _mm512_mul_ps(scale, _mm512_set1_ps(row.scale * (1.0f / 254)));
        return _mm512_fmadd_ps(_mm512_cvtepi32_ps(cross), step, first);
    }

    // Bound of the error of 16 queries' closer values with a document.
    __m512 closer_error(const Row& row, int query) const {
        const auto of_queries = [&](const Array<float>& values) { return _mm512_load_ps(values.get() + query); };
        __m512 error = _mm512_fmadd_ps(of_queries(closer_share_), _mm512_set1_ps(row.length), _mm512_set1_ps(row.slack));
        error = _mm512_fmadd_ps(of_queries(closer_kept_), _mm512_set1_ps(row.residual2), error);
        error = _mm512_fmadd_ps(of_queries(second_), _mm512_set1_ps(row.residual + row.residual2), error);
        return _mm512_mul_ps(error, _mm512_set1_ps(1.0f + 0x1p-19f));
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
        cross_products<Product>(stripe_->digits.get(), queries_.digits.get(), queries_.padded, near_document_.get(), near_query_.get(),
                       near_, near_sum_.get());
        for (int one = 0; one < group_count_; one++) decide_closer(groups_[one]);
        near_ = group_count_ = 0;
    }

    void decide_closer(const Group& group) {
        const int query = group.query;
        const Row& row = stripe_->rows[group.document];
        const __m512i sums = _mm512_sub_epi32(_mm512_maskz_expand_epi32(group.open, _mm512_loadu_si512(near_sum_.get() + group.first)),
                                              _mm512_set1_epi32(128 * (row.sum + row.sum2)));
        const __m512 first = _mm512_maskz_expand_ps(group.open, _mm512_loadu_ps(near_value_.get() + group.first));
        const __m512 value = closer_value(sums, _mm512_load_ps(queries_.scale.get() + query), row, first);
        const __m512 error = closer_error(row, query);
        const __m512 low = _mm512_sub_ps(value, error), high = _mm512_add_ps(value, error);
        __mmask16 open[kMost];
        for (int r = 0; r < targets(); r++) {
            const __mmask16 above =
                _mm512_mask_cmp_ps_mask(group.open, low, _mm512_loadu_ps(request_.upper + at(r, query)), _CMP_GE_OQ);
            const __mmask16 within =
                _mm512_mask_cmp_ps_mask(group.open, high, _mm512_loadu_ps(request_.lower + at(r, query)), _CMP_GE_OQ);
            count(r, query, above);
            open[r] = static_cast<__mmask16>(within & ~above);
        }
        postpone(group.document, query, open);
    }

    void count(int r, int query, __mmask16 lanes) {
        std::int32_t* counts = counts_.get() + at(r, query);
        const __m512i before = _mm512_load_si512(counts);
        _mm512_store_si512(counts, _mm512_mask_add_epi32(before, lanes, before, _mm512_set1_epi32(1)));
    }

    // Keep the pairs of a document and 16 queries that are open for the targets of `open`, to sum them in float64.
    void postpone(int document, int query, const __mmask16* open) {
        unsigned left = 0;
        for (int r = 0; r < targets(); r++) left |= open[r];
        for (; left != 0; left &= left - 1) {
            const int lane = __builtin_ctz(left);
            std::uint64_t bits = 0;
            for (int r = 0; r < targets(); r++) bits |= static_cast<std::uint64_t>(open[r] >> lane & 1) << r;
            if (last_count_ == kMostLast) sum_up();
            last_[last_count_++] = {document, query + lane, bits};
            fetch(vector_of(document));
            fetch(asked_of(query + lane));
        }
    }

    void fetch(const float* row) const {
        for (int k = 0; k < queries_.dim; k += kAlign / static_cast<int>(sizeof(float)))
            _mm_prefetch(reinterpret_cast<const char*>(row + k), _MM_HINT_T1);
    }

    void sum_up() {
        for (int i = 0; i < last_count_; i++) sum_up(last_[i]);
        last_count_ = 0;
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
    std::unique_ptr<Stripe<Product>> stripe_;
    Array<float> lowest_, share_, kept_, closer_share_, closer_kept_, second_;
    Array<std::int32_t> counts_, sums_, near_document_, near_query_, near_sum_;
    Array<float> near_value_;
    Array<std::int64_t> reached_, tried_;  // of each panel: vectors of pairs that reached their lowest threshold, of so many documents
    Array<Last> last_;
    Group groups_[kMostNear];
    int near_ = 0, group_count_ = 0, last_count_ = 0, first_ = 0;
    std::int64_t open_ = 0;
};

template <class Product>
std::int64_t count(const void* queries, const Request& request) {
    const Queries& known = *static_cast<const Queries*>(queries);
    [[maybe_unused]] const typename Product::Session session;
    try {
        if (request.targets == 1) return Counting<Product, 1>(known, request).run();
        if (request.targets == 2) return Counting<Product, 2>(known, request).run();
        return Counting<Product, 0>(known, request).run();
    } catch (const std::bad_alloc&) {
        return -1;
    }
}

}  // namespace
}  // namespace crossalign
