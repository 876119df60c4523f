#include "fabric/tcp_wire.h"

#include <cstring>

namespace kafabric::fabric {

std::string TcpAddress::encode() const {
  std::string text(reinterpret_cast<const char*>(ticket.data()), sizeof(Ticket));
  text.append(reinterpret_cast<const char*>(&port), sizeof(port));
  return text + host;
}

bool TcpAddress::decode(const std::string& text, TcpAddress& address) {
  constexpr size_t kFixed = sizeof(Ticket) + sizeof(uint16_t);
  constexpr size_t kMaxHostBytes = 64;  // an IPv6 address with its interface
  if (text.size() < kFixed || text.size() > kFixed + kMaxHostBytes) return false;
  std::memcpy(address.ticket.data(), text.data(), sizeof(Ticket));
  std::memcpy(&address.port, text.data() + sizeof(Ticket), sizeof(uint16_t));
  address.host = text.substr(kFixed);
  return true;
}

}  // namespace kafabric::fabric
