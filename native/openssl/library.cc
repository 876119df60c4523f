#include "openssl/library.h"

#include <dlfcn.h>

#include <type_traits>

namespace kafabric {

namespace {

constexpr const char* kCandidates[] = {"libssl.so.3", "libssl.so.1.1"};

/** False when one of the functions is missing. */
bool load(void* place, OpenSsl& library) {
  auto find = [&](auto& function, const char* symbol) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(::dlsym(place, symbol));
    return function != nullptr;
  };
#define FOUND(name) find(library.name, #name)
  bool certificates = FOUND(SSL_CTX_set_options) && FOUND(SSL_CTX_use_certificate) && FOUND(SSL_CTX_use_PrivateKey) &&
                      FOUND(SSL_CTX_check_private_key) && FOUND(SSL_CTX_add_client_CA) && FOUND(SSL_CTX_get_cert_store) &&
                      FOUND(SSL_CTX_set_verify) && FOUND(SSL_do_handshake) && FOUND(SSL_shutdown) && FOUND(SSL_get_verify_result) &&
                      (FOUND(SSL_get1_peer_certificate) || find(library.SSL_get1_peer_certificate, "SSL_get_peer_certificate")) &&
                      FOUND(X509_STORE_add_cert) && FOUND(X509_free) && FOUND(X509_get_subject_name) && FOUND(X509_NAME_print_ex) &&
                      FOUND(X509_verify_cert_error_string) && FOUND(PEM_read_bio_X509) && FOUND(PEM_read_bio_PrivateKey) &&
                      FOUND(EVP_PKEY_free) && FOUND(BIO_s_mem) && FOUND(BIO_new) && FOUND(BIO_new_mem_buf) && FOUND(BIO_read) &&
                      FOUND(BIO_free) && FOUND(ERR_get_error) && FOUND(ERR_reason_error_string);
  bool digests = FOUND(EVP_MD_CTX_new) && FOUND(EVP_MD_CTX_free) && FOUND(EVP_MD_CTX_copy_ex) && FOUND(EVP_sha256) && FOUND(EVP_DigestInit_ex) &&
                 FOUND(EVP_DigestUpdate) && FOUND(EVP_DigestFinal_ex) && FOUND(CRYPTO_memcmp);
  return certificates && digests && FOUND(TLS_method) && FOUND(SSL_CTX_new) && FOUND(SSL_CTX_free) && FOUND(SSL_CTX_ctrl) && FOUND(SSL_CTX_set_ciphersuites) &&
         FOUND(SSL_CTX_set_num_tickets) && FOUND(SSL_CTX_set_psk_client_callback) && FOUND(SSL_CTX_set_psk_server_callback) &&
         FOUND(SSL_new) && FOUND(SSL_free) && FOUND(SSL_set_fd) && FOUND(SSL_set_ex_data) && FOUND(SSL_get_ex_data) &&
         FOUND(SSL_set_connect_state) && FOUND(SSL_set_accept_state) && FOUND(SSL_set_verify) && FOUND(SSL_read) && FOUND(SSL_write) && FOUND(SSL_pending) &&
         FOUND(SSL_get_error) && FOUND(ERR_clear_error);
#undef FOUND
}

bool loadAny(OpenSsl& library) {
  if (load(RTLD_DEFAULT, library)) return true;
  for (const char* name : kCandidates) {
    void* loaded = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (loaded && load(loaded, library)) return true;
  }
  return false;
}

}  // namespace

const OpenSsl* OpenSsl::get(std::string& error) {
  static OpenSsl library{};
  static const bool isThere = loadAny(library);
  if (!isThere) error = "OpenSSL (libssl.so.3) is neither in this program nor on this machine";
  return isThere ? &library : nullptr;
}

}  // namespace kafabric
