// Counting with the 8-bit matrix products of AMX, and with AVX512-VNNI for what they leave open. Compiled for these
// instructions; called only where they exist and the operating system has permitted the tiles.
//
// tdpbssd multiplies signed by signed numbers, four at a time, and adds them up in 32 bits: the digits as they are.
#if defined(__x86_64__)

#include "counting.h"

namespace crossalign {
namespace {

// Tiles 0 to 3 hold sums of 16 documents x 16 queries, the others 16 x 64 digits of documents or 64 x 16 of queries.
struct alignas(64) TileShapes {
    std::uint8_t palette = 1, start = 0, reserved[14] = {};
    std::uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// The intrinsics of some compilers do not say that tiles read memory.
inline void written() { __asm__ volatile("" ::: "memory"); }

struct Amx {
    static constexpr int kPanel = 32, kRows = 32;
    static constexpr int kDigits = 2;
    static constexpr int kTile = 1024;  // bytes
    static constexpr int kStep = kTile;
    static constexpr bool kMultipliesAcross = true;

    // Sets up the tiles of this thread; without a release every switch of threads would save them.
    struct Session {
        Session() {
            const TileShapes shapes;
            written();
            _tile_loadconfig(&shapes);
        }
        ~Session() { _tile_release(); }
        Session(const Session&) = delete;
        Session& operator=(const Session&) = delete;
    };

    // Documents: [16 rows][digit][padded / 64] tiles of [16][64].
    static std::size_t place(int row, int which, std::size_t padded) {
        return static_cast<std::size_t>(row / 16 * 2 + which) * 16 * padded + row % 16 * 64;
    }

    // panels: [width / 16][digit][padded / 64] tiles of [16][16][4]: digit 4 i + n of query j at [i][j][n].
    static void fill_panels(std::int8_t* panels, int query, const std::int8_t* both, std::size_t padded) {
        std::int8_t* tile = panels + (static_cast<std::size_t>(query / 16) * 32 * padded) + query % 16 * 4;
        for (std::size_t k = 0; k < 2 * padded; k += 4) std::memcpy(tile + k * 16, both + k, 4);
    }

    // Sums of 32 documents and 32 queries: sums[i][j] = <documents[i], columns[j]>, of their first digits.
    [[gnu::noinline]] static void multiply(const std::int8_t* documents, const Row*, const std::int8_t* columns, int padded,
                                           std::int32_t* sums) {
        begin();
        add_products(documents, columns, padded);
        store(sums);
    }

    // The same of first and second digits, both ways.
    [[gnu::noinline]] static void multiply_across(const std::int8_t* documents, const std::int8_t* columns, int padded,
                                                  std::int32_t* sums) {
        const std::size_t second = 16 * static_cast<std::size_t>(padded);
        begin();
        add_products(documents, columns + second, padded);
        add_products(documents + second, columns, padded);
        store(sums);
    }

private:
    [[gnu::always_inline]] static void begin() {
        written();
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }

    // Each tile of digits is multiplied twice, and four sums at a time wait for none of the others.
    [[gnu::always_inline]] static void add_products(const std::int8_t* documents, const std::int8_t* columns, int padded) {
        const std::size_t next = 32 * static_cast<std::size_t>(padded);  // 16 documents or queries further, past both digits
        for (std::size_t k = 0; k < next / 2; k += kTile) {
            _tile_loadd(6, columns + k, 64);
            _tile_loadd(4, documents + k, 64);
            _tile_dpbssd(0, 4, 6);
            _tile_loadd(7, columns + next + k, 64);
            _tile_dpbssd(1, 4, 7);
            _tile_loadd(5, documents + next + k, 64);
            _tile_dpbssd(2, 5, 6);
            _tile_dpbssd(3, 5, 7);
        }
    }

    [[gnu::always_inline]] static void store(std::int32_t* sums) {
        constexpr int kRow = kPanel * 4;  // bytes
        _tile_stored(0, sums, kRow);
        _tile_stored(1, sums + 16, kRow);
        _tile_stored(2, sums + 16 * kPanel, kRow);
        _tile_stored(3, sums + 16 * kPanel + 16, kRow);
        written();
    }
};

}  // namespace

Kernel amx_kernel() { return {Amx::kPanel, make_queries<Amx>, free_queries, count<Amx>}; }

}  // namespace crossalign

#endif
