// Memory, rows in two int8 digits, and the interface of the counting kernel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

namespace crossalign {

constexpr int kAlign = 64;   // bytes of a cache line and of a vector
constexpr int kPanel = 48;   // queries of a panel: three vectors of 16 sums
constexpr int kRows = 8;     // documents of a tile: 8 x 3 vectors of sums stay in registers
constexpr int kStripe = 256; // documents prepared at a time: they and their digits stay in the second-level cache

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
    int count = 0, width = 0, dim = 0, padded = 0;  // width: a multiple of kPanel; padded: dim up to a multiple of 64
    Array<float> center;                 // [padded] the center k of the queries
    float center_length = 0;             // at least |k|
    Array<float> centered;               // [count][padded]
    Array<std::uint8_t> panels;          // [width / kPanel][padded / 4][kPanel][4] digits one + 128, as the product reads them
    Array<std::uint8_t> digits;          // [width][2][padded] digits one + 128 and two + 128, row by row
    Array<float> scale, length, residual, residual2;  // [width]
};

// What a call counts, see crossalign_count in counting.cpp.
struct Request {
    const float* documents;
    std::int64_t stride;
    int rows;
    const float* center;
    const float *lower, *upper, *rounding;
    int targets;
    std::int64_t* greater;
    std::int64_t greater_stride;
    std::int32_t *open_document, *open_query;
    std::uint64_t* open_targets;
    std::int64_t capacity;
};

// One set of these for each set of instructions.
std::unique_ptr<Queries> make_queries_avx512(const float* centered, const float* center, int count, int dim);
std::int64_t count_avx512(const Queries& queries, const Request& request);

}  // namespace crossalign
