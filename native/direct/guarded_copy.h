// Copies from and to memory that other processes own, and of which pages may turn out not to be there: SIGBUS for whoever touches them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kafabric::direct {

/** Whether such copies can be made: the process's handler of SIGBUS is set by the first call. Other faults go to the handler that was there before. */
bool canGuardCopies();

/** Copies, on a thread that does not block SIGBUS; false when memory of `from` is not there, and `into` holds a part. */
bool copyFromOthers(uint8_t* into, const uint8_t* from, size_t length);

/**
 * The same for memory of `to`. What is long goes past the caches: it is for another process, and would push out what this one needs. That takes
 * half of the time.
 */
bool copyToOthers(uint8_t* to, const uint8_t* from, size_t length);

}  // namespace kafabric::direct
