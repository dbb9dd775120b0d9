-- Mail from elsewhere in the name of a hosted domain goes to Junk, unless SPF or DKIM vouches for that domain: as by a DMARC record
-- with p=quarantine, for domains without one too.
local util = require "rspamd_util"

-- m25-mail-node run writes the file; rspamd sees a change within half a minute.
local hosted = rspamd_config:add_map({
  url = "/var/lib/m25-mail-node/hosted-domains",
  type = "set",
  description = "domains that this node hosts",
})

-- As DMARC does by default, mail.example.nl vouches for example.nl.
local function is_aligned(domain, with)
  return util.get_tld(domain) == util.get_tld(with)
end

local function vouches(task, domain)
  local sender = task:get_from("smtp")
  if task:has_symbol("R_SPF_ALLOW") and sender and sender[1] and is_aligned(sender[1].domain, domain) then
    return true
  end
  -- Its options are example.nl:+ for a signature that is right.
  local signatures = task:get_symbol("DKIM_TRACE")
  for _, found in ipairs(signatures and signatures[1].options or {}) do
    local signer = found:match("^([^:]+):%+$")
    if signer and is_aligned(signer, domain) then
      return true
    end
  end
  return false
end

rspamd_config:register_symbol({
  name = "M25_HOSTED_FORGED",
  description = "From a hosted domain, but neither SPF nor DKIM vouches for it",
  group = "m25-mail",
  score = 1.0,
  callback = function(task)
    -- SPF and DKIM are not checked for programs on this machine.
    local address = task:get_from_ip()
    if task:get_user() or not address or not address:is_valid() or address:is_local() then
      return
    end
    for _, from in ipairs(task:get_from("mime") or {}) do
      local domain = (from.domain or ""):lower()
      if hosted and hosted:get_key(domain) and not vouches(task, domain) then
        task:insert_result("M25_HOSTED_FORGED", 1.0, domain)
        task:set_pre_result("add header", "Forged name of a hosted domain", "m25-mail", nil, nil, "least")
        return
      end
    end
  end,
})
for _, needed in ipairs({ "R_SPF_ALLOW", "DKIM_TRACE" }) do
  rspamd_config:register_dependency("M25_HOSTED_FORGED", needed)
end
