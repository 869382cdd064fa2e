// ChaCha20-Poly1305 as swift-crypto has it, without memory of its own for each datagram.
//
// swift-crypto's interface makes a context, four pieces of memory and as many copies for each datagram: three
// quarters of what sealing cost, and a tenth of all that a primary did at 10,000 events a second. Here its own
// functions (BoringSSL's, under the names that swift-crypto gives them) are called where the datagram lies. The names
// are those of the exact version in Package.swift: another one that lacks them does not link, and what the functions
// write is compared with what other implementations compute.
#ifndef CSEAL_H
#define CSEAL_H

#include <stddef.h>
#include <stdint.h>

enum {
    CSEAL_KEY_BYTE_COUNT = 32,
    CSEAL_NONCE_BYTE_COUNT = 12,
    CSEAL_TAG_BYTE_COUNT = 16,
};

/// A key, made ready; NULL without memory. Any thread may use it, also several at once.
struct cseal_key *cseal_key_create(const uint8_t *key);
void cseal_key_destroy(struct cseal_key *key);

/// Encrypts `byte_count` bytes where they lie and writes the tag, over them and the clear bytes, behind them.
/// Returns 0 if that failed.
int cseal_seal(const struct cseal_key *key, const uint8_t *nonce, const uint8_t *clear, size_t clear_byte_count,
               uint8_t *bytes, size_t byte_count);
/// Decrypts `byte_count` bytes, behind which the tag stands, to `plain`, which is somewhere else.
/// Returns 0, and leaves nothing in `plain`, if the tag is wrong.
int cseal_open(const struct cseal_key *key, const uint8_t *nonce, const uint8_t *clear, size_t clear_byte_count,
               const uint8_t *bytes, size_t byte_count, uint8_t *plain);

#endif
