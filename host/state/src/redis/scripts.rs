//! Scripts: what must be one step on the server.

use redis::Script;

pub(super) struct Scripts {
    pub(super) claim: Script,
    pub(super) add: Script,
    pub(super) commit: Script,
}

/// 1: ours, 2: kept, 0: another's.
const CLAIM: &str = "
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
if redis.call('GET', KEYS[1]) == 'kept' then return 2 end
return 0";

pub(super) const RELEASE: &str = "
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end";

pub(super) const RENEW: &str = "
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end";

/// Answers with the text: Lua's numbers are too small for the greatest counters.
const ADD: &str = "
redis.call('INCRBY', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return redis.call('GET', KEYS[1])";

/// Three arguments a key. A claim whose lease ran out is kept unless another has it by now. The
/// server refuses a script for want of memory at its first write or not at all.
const COMMIT: &str = "
for i, key in ipairs(KEYS) do
  local what, a, b = ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]
  if what == 'put' then
    if b == '0' then redis.call('SET', key, a) else redis.call('SET', key, a, 'PX', b) end
  elseif what == 'delete' then
    redis.call('DEL', key)
  else
    local holder = redis.call('GET', key)
    if not holder or holder == a then redis.call('SET', key, 'kept', 'PX', b) end
  end
end";

impl Scripts {
    pub(super) fn new() -> Self {
        Self { claim: Script::new(CLAIM), add: Script::new(ADD), commit: Script::new(COMMIT) }
    }
}
