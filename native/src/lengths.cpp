// Lengths of vectors, checked while they are read once.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wpsabi"  // of functions that are inlined everywhere
#endif

namespace {

// Vectors that the compiler makes of whatever the processor has.
using Floats = float __attribute__((vector_size(16)));
using Doubles = double __attribute__((vector_size(32)));
constexpr int kLanes = 4;
constexpr int kAhead = 1024;  // floats; memory is read so far ahead

[[gnu::always_inline]] inline Doubles wide(const float* here) {
    Floats part;
    std::memcpy(&part, here, sizeof part);
    return __builtin_convertvector(part, Doubles);
}

// The sum of squares in float64; off by less than dim x 2^-52 of it. Products of float32 are exact in float64.
[[gnu::always_inline]] inline double squares_of(const float* row, std::int64_t dim) {
    Doubles first = {}, second = {}, third = {}, fourth = {};
    std::int64_t k = 0;
    for (; k + 4 * kLanes <= dim; k += 4 * kLanes) {
        __builtin_prefetch(row + k + kAhead);
        const Doubles a = wide(row + k), b = wide(row + k + kLanes), c = wide(row + k + 2 * kLanes),
                      d = wide(row + k + 3 * kLanes);
        first += a * a;
        second += b * b;
        third += c * c;
        fourth += d * d;
    }
    double sum = 0;
    for (; k < dim; k++) sum += static_cast<double>(row[k]) * row[k];
    const Doubles all = (first + second) + (third + fourth);
    for (int i = 0; i < kLanes; i++) sum += all[i];
    return sum;
}

[[gnu::always_inline]] inline int look(const float* vectors, std::int64_t rows, std::int64_t dim, double least, double most,
                                       double near) {
    const double low = least * (1 + 0x1p-10), high = most * (1 - 0x1p-10);
    bool unit = true;
    for (std::int64_t i = 0; i < rows; i++) {
        const double length = std::sqrt(squares_of(vectors + i * dim, dim));
        if (!(length >= low && length <= high)) return 0;
        unit = unit && std::fabs(length - 1) <= near - 0x1p-36;
    }
    return unit ? 2 : 1;
}

#if defined(__x86_64__)
[[gnu::target("avx2,fma")]] int look_avx2(const float* vectors, std::int64_t rows, std::int64_t dim, double least, double most,
                                          double near) {
    return look(vectors, rows, dim, least, most, near);
}
#endif

}  // namespace

extern "C" {

// Whether all rows of vectors [rows][dim] certainly have lengths between `least` and `most`, and whether all of these are
// certainly within `near` of 1: 2 where both hold, 1 where only the first does, 0 where it does not. NaN and infinite
// values, and lengths within 2^-10 of a limit or 2^-36 of `near`, are not certain.
int crossalign_lengths(const float* vectors, std::int64_t rows, std::int64_t dim, double least, double most, double near) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return look_avx2(vectors, rows, dim, least, most, near);
#endif
    return look(vectors, rows, dim, least, most, near);
}

}  // extern "C"
