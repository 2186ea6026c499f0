// The page of who is there: the list of people, and beside it a word on how this works.

import { openPeople } from "./people.js";
import { openShell, requireUser, setTitle } from "./shell.js";
import { chime } from "./sound.js";
import { listen, start } from "./stream.js";
import { t } from "./i18n.js";

start();
const me = await requireUser();
let unread = 0;
const showTitle = () => setTitle(t("people"), unread);

const people = openPeople(me, null, (peers) => {
  unread = peers.reduce((sum, peer) => sum + peer.unread, 0);
  showTitle();
});
openShell(me);
showTitle();
addEventListener("sealpost:language", showTitle);
listen((event) => {
  const isMessage = event.type === undefined && typeof event.content === "string";
  if (isMessage && (event.toId ?? me.id) === me.id) chime();
});
people.refresh();
