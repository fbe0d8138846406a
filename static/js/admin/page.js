// The side bar, which is opened on small screens and may be folded on large ones, and the search above a list.
import { isTyping, remember, remembered } from "../found.js";

const FOLDED = "admin-side-folded";

/** The component of the page's body. */
export const page = () => ({
  activeTab: "general",
  sidebarMobileOpen: false,
  // unfold's forms ask where they are; the CSP build shows no globals.
  window: { location: { pathname: location.pathname, search: location.search } },
  sidebarDesktopOpen: remembered(FOLDED) === null,
  init() {
    this.$watch("sidebarDesktopOpen", (open) => remember(FOLDED, open ? null : "1"));
  },
});

/** The component of a list's search: `/` leads there. */
export const search = () => ({
  applyShortcut(event) {
    if (event.key !== "/" || isTyping(event.target)) return;
    event.preventDefault();
    this.$refs.searchInput.focus();
  },
});
