// OpenSSL's TLS, found at run time: Node carries it and lets addons have it; other programs take the system's.
#pragma once

#include <string>

namespace kafabric::fabric {

/** OpenSSL's types, which are never looked into. */
struct SslMethod;
struct SslContext;
struct Ssl;

using PskClient = unsigned (*)(Ssl*, const char* hint, char* identity, unsigned identityBytes, unsigned char* key, unsigned keyBytes);
using PskServer = unsigned (*)(Ssl*, const char* identity, unsigned char* key, unsigned keyBytes);

/** The functions that are used, by OpenSSL's names; of version 1.1.1 or newer. */
struct TlsLibrary {
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
  int (*SSL_read)(Ssl*, void* target, int bytes);
  int (*SSL_write)(Ssl*, const void* source, int bytes);
  int (*SSL_pending)(const Ssl*);
  int (*SSL_get_error)(const Ssl*, int result);
  void (*ERR_clear_error)();

  /** Null, and why, where there is none. Found once for the process, which keeps it. */
  static const TlsLibrary* get(std::string& error);
};

}  // namespace kafabric::fabric
