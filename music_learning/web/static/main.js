/** The page: songs that are chosen, their rows, and what the address asks to show. */

import { analyse, getJson } from "./api.js";
import { TARGETS, clock, day, el, fixed2, moodOf, percent } from "./dom.js";
import * as store from "./store.js";

// Places of the page, by the address: `#/song/<id>`, `#/songs` (table.js), `#/compare/<id>/<id>` (compare.js), or the start.
// table.js: renderTable(entries, {onOpen(id), onSelect(ids)}), entries as below ({id, name, words, result or null}), newest
//   first; its element may have update(entries), called when one of them changes. The plane stands above it already.
// compare.js: renderCompare(a, b, models), two results.   share.js: sharePicture(result, models), called by result.js.
