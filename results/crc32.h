/* SPDX-License-Identifier: Apache-2.0 */
/** CRC-32 as in IEEE 802.3, gzip and zlib (reflected polynomial 0xedb88320): what every language's library has. */
#ifndef TESTUDO_RESULTS_CRC32_H
#define TESTUDO_RESULTS_CRC32_H

#include <stddef.h>
#include <stdint.h>

/** The checksum of `bytes` behind what gave `crc`; start with 0. */
uint32_t crc32_update(uint32_t crc, const void *bytes, size_t count);

#endif
