#include "fabric/tls_library.h"

#include <dlfcn.h>

#include <type_traits>

namespace kafabric::fabric {

namespace {

constexpr const char* kCandidates[] = {"libssl.so.3", "libssl.so.1.1"};

/** False when one of the functions is missing. */
bool load(void* place, TlsLibrary& library) {
  auto find = [&](auto& function, const char* symbol) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(::dlsym(place, symbol));
    return function != nullptr;
  };
#define FOUND(name) find(library.name, #name)
  return FOUND(TLS_method) && FOUND(SSL_CTX_new) && FOUND(SSL_CTX_free) && FOUND(SSL_CTX_ctrl) && FOUND(SSL_CTX_set_ciphersuites) &&
         FOUND(SSL_CTX_set_num_tickets) && FOUND(SSL_CTX_set_psk_client_callback) && FOUND(SSL_CTX_set_psk_server_callback) &&
         FOUND(SSL_new) && FOUND(SSL_free) && FOUND(SSL_set_fd) && FOUND(SSL_set_ex_data) && FOUND(SSL_get_ex_data) &&
         FOUND(SSL_set_connect_state) && FOUND(SSL_set_accept_state) && FOUND(SSL_read) && FOUND(SSL_write) && FOUND(SSL_pending) &&
         FOUND(SSL_get_error) && FOUND(ERR_clear_error);
#undef FOUND
}

bool loadAny(TlsLibrary& library) {
  if (load(RTLD_DEFAULT, library)) return true;
  for (const char* name : kCandidates) {
    void* loaded = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (loaded && load(loaded, library)) return true;
  }
  return false;
}

}  // namespace

const TlsLibrary* TlsLibrary::get(std::string& error) {
  static TlsLibrary library{};
  static const bool isThere = loadAny(library);
  if (!isThere) error = "OpenSSL (libssl.so.3) is neither in this program nor on this machine";
  return isThere ? &library : nullptr;
}

}  // namespace kafabric::fabric
