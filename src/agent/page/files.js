// Files as message texts: packing what the user picked, unpacking what a peer sent.
// What a file is shown as is decided by its bytes, never by the name or type it claims.

/** The largest file that still fits one message once it is sealed. */
export const MAX_FILE_BYTES = 6 * 1024 * 1024;

/** Reads `file` into a message text; `onProgress` hears the share read so far. */
export function pack(file, onProgress = () => {}) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onprogress = ({ loaded, total }) => total && onProgress(loaded / total);
    reader.onerror = () => reject(reader.error);
    reader.onload = () => {
      // An empty file's data URL may have no comma at all.
      const data = file.size ? reader.result.slice(reader.result.indexOf(",") + 1) : "";
      const { name, type, size } = file;
      resolve(JSON.stringify({ sealpost: "file", name, type, size, data }));
    };
    reader.readAsDataURL(file);
  });
}

/** The file in a message text, `{ name, size, blob, show }`, or null when it is plain text. */
export function unpack(text) {
  const parsed = parse(text);
  const bytes = parsed && fromBase64(parsed.data);
  if (!bytes) return null;
  const type = sniff(bytes, String(parsed.type ?? ""));
  // Anything unknown is an opaque download: a blob belongs to our origin, so it must not open as HTML.
  const blob = new Blob([bytes], { type: type ?? "application/octet-stream" });
  // A file still being read has no data yet; its claimed size is all there is.
  const size = bytes.length || Number(parsed.size) || 0;
  return { name: cleanName(parsed.name), size, blob, show: type?.split("/")[0] ?? "none" };
}

/** The name of the file in a message text, or null; its bytes, perhaps megabytes, stay packed. */
export function fileName(text) {
  const parsed = parse(text);
  return parsed && cleanName(parsed.name);
}

function parse(text) {
  if (!text.startsWith("{") || !text.slice(0, 200).includes('"sealpost"')) return null;
  try {
    const parsed = JSON.parse(text);
    return parsed.sealpost === "file" && typeof parsed.data === "string" ? parsed : null;
  } catch {
    return null;
  }
}

function fromBase64(data) {
  try {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(data);
    return Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
  } catch {
    return null;
  }
}

// Control and direction marks can disguise what a name ends in; slashes are no part of a name.
function cleanName(name) {
  const clean = String(name ?? "").replace(/[\p{Cc}\p{Cf}/\\]/gu, "").trim().slice(0, 200);
  return clean || "file";
}

/** The type of `bytes` if they are a picture, video or sound that may be shown, else null. */
function sniff(bytes, claimed) {
  const text = (from, to) => String.fromCharCode(...bytes.subarray(from, to));
  const head = text(0, 4);
  if (text(1, 4) === "PNG" && bytes[0] === 0x89) return "image/png";
  if (bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff) return "image/jpeg";
  if (head === "GIF8") return "image/gif";
  if (head === "RIFF") return { WEBP: "image/webp", WAVE: "audio/wav" }[text(8, 12)] ?? null;
  if (head === "\x1aE\xdf\xa3") return claimed.startsWith("audio/") ? "audio/webm" : "video/webm";
  if (head === "OggS") return claimed.startsWith("video/") ? "video/ogg" : "audio/ogg";
  if (head === "fLaC") return "audio/flac";
  if (head.startsWith("ID3") || (bytes[0] === 0xff && (bytes[1] & 0xe6) === 0xe2)) return "audio/mpeg";
  if (text(4, 8) === "ftyp") return mediaBrand(text(8, 12));
  return null;
}

function mediaBrand(brand) {
  if (/^(avif|avis|heic|heix|mif1|msf1)$/.test(brand)) return null; // Pictures not every browser draws.
  return /^M4[AB] $/.test(brand) ? "audio/mp4" : "video/mp4";
}
