/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Reading msgpack that nobody vouches for. msgpack-c allocates what an array's head announces before it has seen the
 * elements, so a payload is first walked over here; after that its size bounds what unpacking can take.
 */
#ifndef TESTUDO_RESULTS_UNPACK_H
#define TESTUDO_RESULTS_UNPACK_H

#include <msgpack/object.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Nesting allowed: RECORDS needs three. */
#define UNPACK_DEPTH 8

/** Is this one msgpack object, a map, that takes exactly `count` bytes? */
bool unpack_check(const uint8_t *bytes, size_t count);

/** Unsigned integer behind a key of the map that unpack_check accepted. False: no such key, or not such a value. */
bool unpack_peek_uint(const uint8_t *bytes, size_t count, const char *key, uint64_t *value);

/** Value of a key in a map; NULL: none, or not a map. */
const msgpack_object *unpack_get(const msgpack_object *map, const char *key);
/** The same, of one type. The value is left alone when there is none. */
bool unpack_uint(const msgpack_object *map, const char *key, uint64_t *value);
bool unpack_bool(const msgpack_object *map, const char *key, bool *value);
/** Copy a str (or bin), cut to fit, NUL-terminated; NUL bytes inside become blanks. */
bool unpack_text(const msgpack_object *map, const char *key, char *text, size_t bytes);
const msgpack_object_array *unpack_array(const msgpack_object *map, const char *key);
/** The text of an object itself. False: it is none. */
bool unpack_object_text(const msgpack_object *object, char *text, size_t bytes);

#endif
