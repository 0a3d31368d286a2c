// Weights as the panel kernels read them: sixteen rows interleaved, so that a row is a lane of a vector.
//
// A panel is 16 rows, block after block; a packed block is the 16 rows' blocks of the same columns, field after field
// in the order of the stored struct, each field cut into units and the units of the 16 rows put side by side. Hence the
// field at offset o of the struct begins at 16 * o, and unit i of row r lies at 16 * o + (16 * i + r) * unit. Quants
// have units of 4 bytes (the 4 products that a lane of a dot product adds), scales of their own width. A panel has the
// bytes of its 16 rows; only the last one of a matrix is larger, filled up with rows of zeros.
#pragma once

#include "backend/cpu/kernels.h"
#include "base/status.h"
#include "base/thread_pool.h"
#include "tensor/host_memory.h"

namespace ferrum {

// Float weights have panels of their own kind (cpu/float_panels.h), made here too.

// Whether there are panels of this type: every quantised one, F32, F16 and BF16.
bool has_panels(DType dtype);

// Bytes of a matrix of `rows` x `columns` in panels; `columns` are whole blocks.
size_t panel_bytes(DType dtype, int64_t rows, int64_t columns);

// The panels of a stored matrix [rows, columns], made by all threads of the pool. With `mapped`, the matrix lies in a
// read-only mapping of a file, and its pages leave the process as they have been read, so that they are never resident
// in both forms; who reads the matrix again gets them back from the file. kCapacity without memory for the panels.
Result<Buffer> pack_panels(const ConstView& matrix, bool mapped, ThreadPool& pool, HostArena& memory);
// The same into panel_bytes() of zeroed memory, on a cache line.
void pack_panels_at(const ConstView& matrix, bool mapped, ThreadPool& pool, std::byte* to);

}  // namespace ferrum
