#include "fabric/tcp_wire.h"

#include <cstring>

namespace kafabric::fabric {

std::string TcpAddress::encode() const {
  std::string text(reinterpret_cast<const char*>(ticket.data()), sizeof(Ticket));
  text.append(reinterpret_cast<const char*>(&port), sizeof(port));
  if (key) text.append(reinterpret_cast<const char*>(key->data()), key->size());
  return text + host;
}

bool TcpAddress::decode(const std::string& text, bool encrypted, TcpAddress& address) {
  constexpr size_t kKeyAt = sizeof(Ticket) + sizeof(uint16_t);
  const size_t fixed = kKeyAt + (encrypted ? sizeof(TlsKey) : 0);
  constexpr size_t kMaxHostBytes = 64;  // an IPv6 address with its interface
  if (text.size() < fixed || text.size() > fixed + kMaxHostBytes) return false;
  std::memcpy(address.ticket.data(), text.data(), sizeof(Ticket));
  std::memcpy(&address.port, text.data() + sizeof(Ticket), sizeof(uint16_t));
  address.key.reset();
  if (encrypted) std::memcpy(address.key.emplace().data(), text.data() + kKeyAt, sizeof(TlsKey));
  address.host = text.substr(fixed);
  return true;
}

}  // namespace kafabric::fabric
