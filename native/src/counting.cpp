// The interface that Python calls, in plain C. No call writes anywhere but into the arrays it is given.
#include <cstddef>
#include <new>

#include "request.h"

using crossalign::Kernel;
using crossalign::Request;

namespace {

// Numbers of kernels. A later one is faster where it is supported.
constexpr int kVnni = 0, kAmx = 1, kKernels = 2;

struct Queries {
    Kernel kernel;
    void* queries;
};

bool supported(int kernel) {
    return (kernel == kVnni && crossalign::has_vnni()) || (kernel == kAmx && crossalign::has_amx());
}

// Only of kernels that are supported.
Kernel kernel_of(int kernel) {
#if defined(__x86_64__)
#if defined(CROSSALIGN_AMX)
    if (kernel == kAmx) return crossalign::amx_kernel();
#endif
    return crossalign::vnni_kernel();
#else
    (void)kernel;
    return Kernel{};
#endif
}

}  // namespace

extern "C" {

// Number of this interface; the caller refuses any other.
int crossalign_interface() { return 3; }

// How many queries a panel of this kernel has, to a multiple of which they are padded; 0 where it is not supported.
int crossalign_panel(int kernel) { return supported(kernel) ? kernel_of(kernel).panel : 0; }

// Queries to count against with a kernel; null where memory lacks and where the kernel is not supported.
// centered: [count][dim], center: [dim].
void* crossalign_queries(int kernel, const float* centered, const float* center, int count, int dim) {
    if (!supported(kernel)) return nullptr;
    const Kernel chosen = kernel_of(kernel);
    void* made = chosen.make(centered, center, count, dim);
    if (made == nullptr) return nullptr;
    auto* queries = new (std::nothrow) Queries{chosen, made};
    if (queries == nullptr) chosen.free(made);
    return queries;
}

void crossalign_free(void* queries) {
    auto* known = static_cast<Queries*>(queries);
    known->kernel.free(known->queries);
    delete known;
}

// Count documents whose score with a query certainly exceeds its targets, and list the pairs that stay open.
//
// documents: [rows], each `stride` floats after the one before; center: [dim], near the documents.
// lower, upper: [targets][width] thresholds of q'.d' + k.d'; below `lower` a result is certainly less than the target,
//   from `upper` on certainly greater; infinite where there is no target, and in the padding.
// rounding: [width] further error of a query's results as a share of |d'|.
// greater: [targets][count], rows `greater_stride` apart; counts are added to it.
// open_*: room for `capacity` pairs: place of the document in `documents`, of the query, and a bit for each open target.
// lengths, known: null, or the limits `least`, `most` and `near` of crossalign_lengths, and where to write what it would
//   return of these documents. Whatever their components are, no call goes beyond the arrays.
// Returns the number of open pairs. Where it exceeds `capacity`, nothing was added to `greater`: call again with fewer
// rows. -1: memory lacks.
std::int64_t crossalign_count(const void* queries, const float* documents, std::int64_t stride, int rows,
                              const float* center, const float* lower, const float* upper, const float* rounding,
                              int targets, std::int64_t* greater, std::int64_t greater_stride,
                              std::int32_t* open_document, std::int32_t* open_query, std::uint64_t* open_targets,
                              std::int64_t capacity, const double* lengths, int* known) {
    const auto* made = static_cast<const Queries*>(queries);
    return made->kernel.count(made->queries,
                              Request{documents, stride, rows, center, lower, upper, rounding, targets, greater, greater_stride,
                                      open_document, open_query, open_targets, capacity, lengths, known});
}

}  // extern "C"
