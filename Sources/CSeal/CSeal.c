#include "CSeal.h"

// As <openssl/aead.h> of BoringSSL declares them.
struct evp_aead_st;
struct evp_aead_ctx_st;
const struct evp_aead_st *CCryptoBoringSSL_EVP_aead_chacha20_poly1305(void);
struct evp_aead_ctx_st *CCryptoBoringSSL_EVP_AEAD_CTX_new(
    const struct evp_aead_st *aead, const uint8_t *key, size_t key_len, size_t tag_len);
void CCryptoBoringSSL_EVP_AEAD_CTX_free(struct evp_aead_ctx_st *ctx);
int CCryptoBoringSSL_EVP_AEAD_CTX_seal_scatter(
    const struct evp_aead_ctx_st *ctx, uint8_t *out, uint8_t *out_tag, size_t *out_tag_len, size_t max_out_tag_len,
    const uint8_t *nonce, size_t nonce_len, const uint8_t *in, size_t in_len, const uint8_t *extra_in,
    size_t extra_in_len, const uint8_t *ad, size_t ad_len);
int CCryptoBoringSSL_EVP_AEAD_CTX_open_gather(
    const struct evp_aead_ctx_st *ctx, uint8_t *out, const uint8_t *nonce, size_t nonce_len, const uint8_t *in,
    size_t in_len, const uint8_t *in_tag, size_t in_tag_len, const uint8_t *ad, size_t ad_len);
void CCryptoBoringSSL_ERR_clear_error(void);

static const struct evp_aead_ctx_st *context(const struct cseal_key *key) {
    return (const struct evp_aead_ctx_st *)key;
}

struct cseal_key *cseal_key_create(const uint8_t *key) {
    return (struct cseal_key *)CCryptoBoringSSL_EVP_AEAD_CTX_new(
        CCryptoBoringSSL_EVP_aead_chacha20_poly1305(), key, CSEAL_KEY_BYTE_COUNT, CSEAL_TAG_BYTE_COUNT);
}

void cseal_key_destroy(struct cseal_key *key) {
    CCryptoBoringSSL_EVP_AEAD_CTX_free((struct evp_aead_ctx_st *)key);
}

int cseal_seal(const struct cseal_key *key, const uint8_t *nonce, const uint8_t *clear, size_t clear_byte_count,
               uint8_t *bytes, size_t byte_count) {
    size_t tag_byte_count = 0;
    int succeeded = CCryptoBoringSSL_EVP_AEAD_CTX_seal_scatter(
        context(key), bytes, bytes + byte_count, &tag_byte_count, CSEAL_TAG_BYTE_COUNT, nonce, CSEAL_NONCE_BYTE_COUNT,
        bytes, byte_count, NULL, 0, clear, clear_byte_count);
    return succeeded && tag_byte_count == CSEAL_TAG_BYTE_COUNT;
}

int cseal_open(const struct cseal_key *key, const uint8_t *nonce, const uint8_t *clear, size_t clear_byte_count,
               const uint8_t *bytes, size_t byte_count, uint8_t *plain) {
    if (CCryptoBoringSSL_EVP_AEAD_CTX_open_gather(
            context(key), plain, nonce, CSEAL_NONCE_BYTE_COUNT, bytes, byte_count, bytes + byte_count,
            CSEAL_TAG_BYTE_COUNT, clear, clear_byte_count)) {
        return 1;
    }
    // It has put down why in a list of the thread's that nobody reads.
    CCryptoBoringSSL_ERR_clear_error();
    return 0;
}
