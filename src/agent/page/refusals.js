// What the agent and its server say when they refuse, and which words of ours say the same.
//
// They speak Chinese, as the published interfaces do. It imports nothing.

/** A pattern of their words, the key of ours, and the names of what the pattern picks out. */
const known = [
  [/密钥无法用此密码/, "errKeysLocked"],
  [/密钥库已损坏：(.*)；移走/, "errPeersDamaged", "path"],
  [/密钥库已损坏：(.*)/, "errKeysDamaged", "path"],
  [/本地文件错误/, "errFiles"],
  [/登录已过期|用户未登录|请先登录|请重新登录/, "loginAgain"],
  [/次数过多.*?(\d+)/, "errTooMany", "seconds"],
  [/密码错误/, "errCredentials"],
  [/已存在/, "errNameTaken"],
  [/不一致/, "passwordsDiffer"],
  [/缺少用户名或密码|缺少确认密码|密码不能为空/, "fillBoth"],
  [/用户不存在/, "errNobody"],
  [/未就绪/, "errNotReady"],
  [/没有可用的公钥/, "errNoKey"],
  [/密钥没有变化/, "errKeyNotChanged"],
  [/指纹不符/, "errFingerprint"],
  [/过大|字节的上限/, "textTooLong"],
  [/^(\S+) 不符合要求: (.*)/, "errInvalid", "field", "problem"],
  [/无法连接/, "errServer"],
  [/繁忙/, "errBusy"],
  [/不能写入/, "errNoWrites"],
  [/可能已保存/, "errInDoubt"],
  [/内部错误/, "errInternal"],
  [/获取聊天记录失败/, "errRecords"],
  [/没有权限|只接受本机/, "errForbidden"],
  [/缺少|必须|格式错误|请求|不完整|不正确|不是当前用户|不能为空|请使用|路径不存在/, "errRequest"],
];

/** Our words for `refusal`: `{ key, fill }`, or nothing if it is in none of their known words. */
export function meaning(refusal) {
  for (const [pattern, key, ...names] of known) {
    const found = refusal.match(pattern);
    if (found) return { key, fill: Object.fromEntries(names.map((name, at) => [name, found[at + 1]])) };
  }
  return undefined;
}
