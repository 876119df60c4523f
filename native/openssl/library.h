// OpenSSL, found at run time: Node carries it and lets addons have it; other programs take the system's.
#pragma once

#include <cstdint>
#include <string>

namespace kafabric {

/** OpenSSL's types, which are never looked into. */
struct SslMethod;
struct SslContext;
struct Ssl;
struct Bio;
struct BioMethod;
struct Certificate;
struct CertificateName;
struct CertificateStore;
struct PrivateKey;
struct Digest;
struct DigestKind;

using PskClient = unsigned (*)(Ssl*, const char* hint, char* identity, unsigned identityBytes, unsigned char* key, unsigned keyBytes);
using PskServer = unsigned (*)(Ssl*, const char* identity, unsigned char* key, unsigned keyBytes);

/** The functions that are used, by OpenSSL's names; of version 1.1.1 or newer. */
struct OpenSsl {
  const SslMethod* (*TLS_method)();
  SslContext* (*SSL_CTX_new)(const SslMethod*);
  void (*SSL_CTX_free)(SslContext*);
  long (*SSL_CTX_ctrl)(SslContext*, int command, long number, void* pointer);
  int (*SSL_CTX_set_ciphersuites)(SslContext*, const char* names);
  int (*SSL_CTX_set_num_tickets)(SslContext*, size_t count);
  void (*SSL_CTX_set_psk_client_callback)(SslContext*, PskClient);
  void (*SSL_CTX_set_psk_server_callback)(SslContext*, PskServer);
  Ssl* (*SSL_new)(SslContext*);
  void (*SSL_free)(Ssl*);
  int (*SSL_set_fd)(Ssl*, int fd);
  int (*SSL_set_ex_data)(Ssl*, int index, void* data);
  void* (*SSL_get_ex_data)(const Ssl*, int index);
  void (*SSL_set_connect_state)(Ssl*);
  void (*SSL_set_accept_state)(Ssl*);
  void (*SSL_set_verify)(Ssl*, int mode, int (*callback)(int, void*));
  int (*SSL_read)(Ssl*, void* target, int bytes);
  int (*SSL_write)(Ssl*, const void* source, int bytes);
  int (*SSL_pending)(const Ssl*);
  int (*SSL_get_error)(const Ssl*, int result);
  void (*ERR_clear_error)();

  // For ends that know each other by certificates.
  uint64_t (*SSL_CTX_set_options)(SslContext*, uint64_t options);
  int (*SSL_CTX_use_certificate)(SslContext*, Certificate*);
  int (*SSL_CTX_use_PrivateKey)(SslContext*, PrivateKey*);
  int (*SSL_CTX_check_private_key)(const SslContext*);
  int (*SSL_CTX_add_client_CA)(SslContext*, Certificate*);
  CertificateStore* (*SSL_CTX_get_cert_store)(const SslContext*);
  void (*SSL_CTX_set_verify)(SslContext*, int mode, int (*callback)(int, void*));
  int (*SSL_do_handshake)(Ssl*);
  int (*SSL_shutdown)(Ssl*);
  long (*SSL_get_verify_result)(const Ssl*);
  /** SSL_get1_peer_certificate, or what older versions call so. */
  Certificate* (*SSL_get1_peer_certificate)(const Ssl*);
  int (*X509_STORE_add_cert)(CertificateStore*, Certificate*);
  void (*X509_free)(Certificate*);
  CertificateName* (*X509_get_subject_name)(const Certificate*);
  int (*X509_NAME_print_ex)(Bio*, const CertificateName*, int indent, unsigned long flags);
  const char* (*X509_verify_cert_error_string)(long result);
  Certificate* (*PEM_read_bio_X509)(Bio*, Certificate**, void* callback, void* user);
  PrivateKey* (*PEM_read_bio_PrivateKey)(Bio*, PrivateKey**, void* callback, void* user);
  void (*EVP_PKEY_free)(PrivateKey*);
  const BioMethod* (*BIO_s_mem)();
  Bio* (*BIO_new)(const BioMethod*);
  Bio* (*BIO_new_mem_buf)(const void* data, int bytes);
  int (*BIO_read)(Bio*, void* target, int bytes);
  int (*BIO_free)(Bio*);
  unsigned long (*ERR_get_error)();
  const char* (*ERR_reason_error_string)(unsigned long error);

  // For HMAC (hmac_sha256.h).
  Digest* (*EVP_MD_CTX_new)();
  void (*EVP_MD_CTX_free)(Digest*);
  int (*EVP_MD_CTX_copy_ex)(Digest*, const Digest* from);
  const DigestKind* (*EVP_sha256)();
  int (*EVP_DigestInit_ex)(Digest*, const DigestKind*, void* engine);
  int (*EVP_DigestUpdate)(Digest*, const void* data, size_t bytes);
  int (*EVP_DigestFinal_ex)(Digest*, unsigned char* out, unsigned* bytes);
  int (*CRYPTO_memcmp)(const void*, const void*, size_t bytes);

  /** Null, and why, where there is none. Found once for the process, which keeps it. */
  static const OpenSsl* get(std::string& error);
};

}  // namespace kafabric
