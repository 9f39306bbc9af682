// The interface that Python calls, in plain C. No call writes anywhere but into the arrays it is given.
#include "vectors.h"

using crossalign::Queries;
using crossalign::Request;

extern "C" {

// Number of this interface; the caller refuses any other.
int crossalign_interface() { return 1; }

// Whether the processor has the instructions that the kernel is written for.
int crossalign_supported() {
#if defined(__x86_64__)
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni");
#else
    return 0;
#endif
}

// Queries to count against; null where memory lacks. centered: [count][dim], center: [dim].
void* crossalign_queries(const float* centered, const float* center, int count, int dim) {
#if defined(__x86_64__)
    try {
        return crossalign::make_queries_avx512(centered, center, count, dim).release();
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
#else
    (void)centered, (void)center, (void)count, (void)dim;
    return nullptr;
#endif
}

void crossalign_free(void* queries) { delete static_cast<Queries*>(queries); }

// Count documents whose score with a query certainly exceeds its targets, and list the pairs that stay open.
//
// documents: [rows], each `stride` floats after the one before; center: [dim], near the documents.
// lower, upper: [targets][width] thresholds of q'.d' + k.d'; below `lower` a result is certainly less than the target,
//   from `upper` on certainly greater; infinite where there is no target, and in the padding.
// rounding: [width] further error of a query's results as a share of |d'|.
// greater: [targets][count], rows `greater_stride` apart; counts are added to it.
// open_*: room for `capacity` pairs: place of the document in `documents`, of the query, and a bit for each open target.
// Returns the number of open pairs. Where it exceeds `capacity`, nothing was added to `greater`: call again with fewer
// rows. -1: memory lacks.
std::int64_t crossalign_count(const void* queries, const float* documents, std::int64_t stride, int rows,
                              const float* center, const float* lower, const float* upper, const float* rounding,
                              int targets, std::int64_t* greater, std::int64_t greater_stride,
                              std::int32_t* open_document, std::int32_t* open_query, std::uint64_t* open_targets,
                              std::int64_t capacity) {
#if defined(__x86_64__)
    const Request request{documents, stride,        rows,          center,     lower,        upper,    rounding,
                          targets,   greater,       greater_stride, open_document, open_query, open_targets, capacity};
    try {
        return crossalign::count_avx512(*static_cast<const Queries*>(queries), request);
    } catch (const std::bad_alloc&) {
        return -1;
    }
#else
    (void)queries, (void)documents, (void)stride, (void)rows, (void)center, (void)lower, (void)upper, (void)rounding;
    (void)targets, (void)greater, (void)greater_stride, (void)open_document, (void)open_query, (void)open_targets;
    (void)capacity;
    return -1;
#endif
}

}  // extern "C"
