// What connections of one kind have in common. See tls_session.hpp.
#include "tls_session.hpp"

#include <algorithm>
#include <cerrno>
#include <new>

#include <unistd.h>

namespace perilune::tls {

namespace {

// OpenSSL asks the terminal for the password of a key otherwise.
int no_password(char*, int, int, void*) { return 0; }

int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* size, const unsigned char* offered,
                    unsigned int offered_size, void* mine) {
  const auto& protocols = *static_cast<const std::string*>(mine);
  unsigned char* found = nullptr;
  const int how =
      openssl::load()->SSL_select_next_proto(&found, size, reinterpret_cast<const unsigned char*>(protocols.data()),
                                             static_cast<unsigned>(protocols.size()), offered, offered_size);
  *chosen = found;
  return how == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

// A file that cannot be read says so itself; of others OpenSSL has the word.
error unusable(const openssl& library, const char* what, const std::string& path) {
  const std::string doing = std::string("TLS ") + what + " " + path;
  if (::access(path.c_str(), R_OK) != 0) return error::system(doing, errno);
  const char* why = library.ERR_reason_error_string(library.ERR_peek_error());
  error problem = error::system(doing, EINVAL);
  problem.message = doing + ": " + (why ? why : "nothing usable in it");
  return problem;
}

}  // namespace

context::context(const openssl& library, options how) noexcept
    : library_(&library), how_(std::move(how)), context_(library.SSL_CTX_new(library.TLS_method())) {}

context::~context() { library_->SSL_CTX_free(context_); }

result<std::shared_ptr<const context>> context::make(options how) {
  const openssl* library = openssl::load();
  if (!library) return error::system(std::string("perilune.tls needs ") + openssl::file_name(), ENOENT);
  library->ERR_clear_error();
  std::shared_ptr<context> made(new context(*library, std::move(how)));
  if (!made->context_) throw std::bad_alloc();
  const bool server = made->how_.server;
  library->SSL_CTX_ctrl(made->context_, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_2_VERSION, nullptr);
  library->SSL_CTX_set_options(made->context_, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
  // No session is taken up again, so none is told to a client that may never read it.
  library->SSL_CTX_set_num_tickets(made->context_, 0);
  library->SSL_CTX_ctrl(made->context_, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, nullptr);
  const int asks = SSL_VERIFY_PEER | (server ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);
  library->SSL_CTX_set_verify(made->context_, made->how_.verify ? asks : SSL_VERIFY_NONE, nullptr);
  if (auto problem = made->load_files()) return *std::move(problem);
  made->set_alpn();
  return std::shared_ptr<const context>(std::move(made));
}

std::optional<error> context::load_files() {
  if (how_.ca_file.empty()) {
    // Many, and read at once where they are in one file: not for nothing.
    if (how_.verify) library_->SSL_CTX_set_default_verify_paths(context_);
  } else if (library_->SSL_CTX_load_verify_file(context_, how_.ca_file.c_str()) != 1) {
    return unusable(*library_, "authorities", how_.ca_file);
  }
  return how_.cert_file.empty() ? std::nullopt : load_identity();
}

std::optional<error> context::load_identity() {
  library_->SSL_CTX_set_default_passwd_cb(context_, no_password);
  if (library_->SSL_CTX_use_certificate_chain_file(context_, how_.cert_file.c_str()) != 1)
    return unusable(*library_, "certificate", how_.cert_file);
  if (library_->SSL_CTX_use_PrivateKey_file(context_, how_.key_file.c_str(), SSL_FILETYPE_PEM) != 1 ||
      library_->SSL_CTX_check_private_key(context_) != 1)
    return unusable(*library_, "key", how_.key_file);
  return std::nullopt;
}

void context::set_alpn() {
  if (how_.alpn.empty()) return;
  for (const std::string& each : how_.alpn) protocols_ += static_cast<char>(each.size()) + each;
  if (how_.server)
    library_->SSL_CTX_set_alpn_select_cb(context_, choose_protocol, &protocols_);
  else
    library_->SSL_CTX_set_alpn_protos(context_, reinterpret_cast<const unsigned char*>(protocols_.data()),
                                      static_cast<unsigned>(protocols_.size()));
}

}  // namespace perilune::tls
