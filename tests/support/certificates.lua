-- Certificates that openssl makes in a folder of their own.
local fs = require "perilune.fs"
local process = require "perilune.process"

local certificates = { folder = fs.temp_dir { prefix = "certificates" } }

local function at(name) return certificates.folder .. "/" .. name end
certificates.at = at

local function openssl(...)
  process.run { argv = { "openssl", ... }, stdin = "null", stderr = "null", stdout = "null", check = true }
end

function certificates.make_authority(name)
  openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
          "/CN=" .. name, "-keyout", at(name .. ".key"), "-out", at(name .. ".pem"))
end

-- A certificate `name` for a host, by an authority; `days` from now it ends.
function certificates.make_certificate(name, authority, host, days)
  openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=" .. name, "-keyout",
          at(name .. ".key"), "-out", at(name .. ".csr"))
  fs.write(at(name .. ".ext"), "subjectAltName=" .. host .. "\n")
  openssl("x509", "-req", "-in", at(name .. ".csr"), "-CA", at(authority .. ".pem"), "-CAkey", at(authority .. ".key"),
          "-set_serial", "7", "-days", tostring(days), "-extfile", at(name .. ".ext"), "-out", at(name .. ".pem"))
end

function certificates.remove() fs.remove(certificates.folder, { recursive = true }) end

return certificates
