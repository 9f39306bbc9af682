// What the kernels are asked, and what each of them provides. Plain data: the files of the kernels are compiled for
// instructions that others may lack, so they share no inline function with the rest (see README.md).
#pragma once

#include <cstdint>

namespace crossalign {

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
    const double* lengths;  // null, or the least and the greatest length of a document, and how near to 1 is unit length
    int* known;             // what is certain of the lengths, as crossalign_lengths returns it
};

// One set of instructions.
struct Kernel {
    int panel;                                                                          // queries are padded to a multiple of it
    void* (*make)(const float* centered, const float* center, int count, int dim);     // null where memory lacks
    void (*free)(void* queries);
    std::int64_t (*count)(const void* queries, const Request& request);                 // -1 where memory lacks
};

Kernel vnni_kernel();
Kernel amx_kernel();

// Whether the processor has the instructions and the operating system lets this process use them.
bool has_vnni();
bool has_amx();

}  // namespace crossalign
