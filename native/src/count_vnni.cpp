// Counting with the 8-bit dot products of AVX512-VNNI. Compiled for these instructions; called only where they exist.
//
// vpdpbusd multiplies unsigned by signed numbers: the queries' digits are written as digit + 128, and every sum begins
// with -128 times the sum of the document's digits, which is exact.
#if defined(__x86_64__)

#include "counting.h"

namespace crossalign {
namespace {

struct Vnni {
    static constexpr int kPanel = 48;            // queries of a panel: three vectors of 16 sums
    static constexpr int kRows = 8;              // documents of a tile: 8 x 3 vectors of sums stay in registers
    static constexpr int kDigits = 1;            // in the panels
    static constexpr int kStep = 64;
    static constexpr bool kMultipliesAcross = false;

    // Nothing to set up.
    struct Session {};

    static std::size_t place(int row, int which, std::size_t padded) { return (2 * row + which) * padded; }

    // panels: [width / kPanel][padded / 4][kPanel][4] digits one + 128.
    static void fill_panels(std::int8_t* panels, int query, const std::int8_t* both, std::size_t padded) {
        std::int8_t* panel = panels + static_cast<std::size_t>(query / kPanel) * kPanel * padded;
        for (std::size_t k = 0; k < padded; k++)
            panel[(k / 4 * kPanel + query % kPanel) * 4 + k % 4] = static_cast<std::int8_t>(both[k] ^ -128);
    }

    // Sums of 8 documents and 48 queries: sums[i][j] = <documents[i], columns[j]>. All 24 vectors of sums stay in
    // registers, which takes loops that are unrolled whole, in a function that does nothing else.
    [[gnu::noinline]] static void multiply(const std::int8_t* documents, const Row* rows, const std::int8_t* columns, int padded,
                                           std::int32_t* sums) {
        constexpr int kVectors = kPanel / 16;
        const std::size_t stride = 2 * static_cast<std::size_t>(padded);
        __m512i held[kRows][kVectors];
#pragma GCC unroll 8
        for (int i = 0; i < kRows; i++)
#pragma GCC unroll 3
            for (int j = 0; j < kVectors; j++) held[i][j] = _mm512_set1_epi32(-128 * rows[i].sum);
        for (int k = 0; k < padded; k += 4) {
            const std::int8_t* here = columns + static_cast<std::size_t>(k) * kPanel;
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
};

}  // namespace

Kernel vnni_kernel() { return {Vnni::kPanel, make_queries<Vnni>, free_queries, count<Vnni>}; }

}  // namespace crossalign

#endif
