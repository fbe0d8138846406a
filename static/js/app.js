// Every page loads this one bundle. Behaviour is bound to data-* attributes, once, by delegation where that can be,
// so that fragments which arrive later behave like what was there from the start.
import "./theme.js";
import "./times.js";
import "./copy.js";
import "./dialogs.js";
import "./menus.js";
import "./tabs.js";
import "./keys.js";
import "./palette.js";
import "./filters.js";
import "./chosen.js";
import "./forms.js";
import "./narrows.js";
import "./drafts.js";
import "./run_form.js";
import "./schedule_form.js";
import "./backfill_form.js";
import "./webhook_form.js";
import "./pool_template_form.js";
import "./schema_form/items.js";
import "./schema_form/selects.js";
import "./schema_form/unions.js";
import "./passwords.js";
import "./welcome.js";
import "./live/page.js";
import { startCharts } from "./charts/charts.js";
import { startLogs } from "./log/viewer.js";
import { startTimelines } from "./timeline/timeline.js";
import { whenAdded } from "./found.js";

whenAdded("[data-chart]", startCharts);
whenAdded("[data-log]", startLogs);
whenAdded("[data-timeline]", startTimelines);
