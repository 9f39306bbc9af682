// Which kernels can run here: the processor has the instructions, and the operating system saves their registers.
#include "request.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace crossalign {

#if defined(__x86_64__)

namespace {

struct Leaf {
    unsigned a = 0, b = 0, c = 0, d = 0;  // zeros where the processor has no such leaf
    Leaf(unsigned leaf, unsigned part) { __get_cpuid_count(leaf, part, &a, &b, &c, &d); }
};

// The parts of the registers' state that the operating system saves.
std::uint64_t saved_state() {
    constexpr unsigned kHasXgetbv = 1u << 27;
    if ((Leaf(1, 0).c & kHasXgetbv) == 0) return 0;
    std::uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return static_cast<std::uint64_t>(high) << 32 | low;
}

bool all_of(std::uint64_t state, std::uint64_t bits) { return (state & bits) == bits; }

#if defined(CROSSALIGN_AMX) && defined(__linux__)
// Linux gives tiles only to processes that ask, and refuses where, for example, a stack for signals is too small for them.
bool tiles_permitted() {
    constexpr long kRequestPermission = 0x1023, kTileData = 18;
    return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#endif

}  // namespace

bool has_vnni() {
    constexpr std::uint64_t kState = 0xe6;  // SSE, AVX, and the three parts of AVX512
    constexpr unsigned kFma = 1u << 12, kAvx2 = 1u << 5, kF = 1u << 16, kDq = 1u << 17, kBw = 1u << 30, kVl = 1u << 31;
    constexpr unsigned kVnni = 1u << 11;
    const Leaf features(7, 0);
    return all_of(saved_state(), kState) && all_of(Leaf(1, 0).c, kFma) && all_of(features.b, kAvx2 | kF | kDq | kBw | kVl) &&
           all_of(features.c, kVnni);
}

bool has_amx() {
#if defined(CROSSALIGN_AMX) && defined(__linux__)
    constexpr std::uint64_t kState = std::uint64_t{3} << 17;  // shapes and contents of tiles
    constexpr unsigned kTile = 1u << 24, kInt8 = 1u << 25;
    const Leaf palette(0x1d, 1);  // bytes of a row and number of tiles; rows of a tile
    return has_vnni() && all_of(saved_state(), kState) && all_of(Leaf(7, 0).d, kTile | kInt8) && (palette.b & 0xffff) >= 64 &&
           palette.b >> 16 >= 8 && (palette.c & 0xffff) >= 16 && tiles_permitted();
#else
    return false;
#endif
}

#else

bool has_vnni() { return false; }
bool has_amx() { return false; }

#endif

}  // namespace crossalign
