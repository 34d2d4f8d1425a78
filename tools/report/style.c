/* SPDX-License-Identifier: MIT
 * The head and the style of the page. No scripts, no other files, light and dark as the
 * reader has it, and on paper. */
#include <cardmark/cardmark.h>

#include "tools/report/html.h"
#include "tools/report/report.h"

static const char style[] =
	":root{color-scheme:light dark;--bg:#fff;--fg:#1b1d21;--soft:#565b63;--rule:#d5d8dd;"
	"--panel:#f4f5f7;--link:#0b57a4;--good:#08663f;--bad:#a61b1b;"
	"--s0:#5b6068;--s1:#b4470f;--s2:#9c6a00;--s3:#0b62a8;--s4:#007a5e;--s5:#94418f;--s6:#"
	"6b4fd0;"
	"--s7:#7a5c1e;--p0:#8a5a9e;--p1:#0b62a8;--p2:#63b09a;--p3:#d08a1d;--p4:#a9adb5}\n"
	"@media(prefers-color-scheme:dark){:root{--bg:#15171a;--fg:#e7e9ec;--soft:#a7adb6;"
	"--rule:#3a3f47;--panel:#1f2226;--link:#7ab8ff;--good:#5fd39b;--bad:#ff8a80;"
	"--s0:#aab1ba;--s1:#f3925a;--s2:#e8c35a;--s3:#66b5f5;--s4:#45cfa2;--s5:#dc9ad8;--s6:#"
	"b3a2ff;"
	"--s7:#d8b878;--p0:#c79ad8;--p1:#58a8ee;--p2:#3f8f79;--p3:#eab04f;--p4:#6d737c}}\n"
	"*{box-sizing:border-box}\n"
	"body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,sans-serif}\n"
	"main,header,footer{max-width:76rem;margin:0 auto;padding:0 1rem}\n"
	"header{padding-top:1.5rem}footer{color:var(--soft);padding-bottom:2rem}\n"
	"h1{font-size:1.7rem;margin:0}h2{font-size:1.3rem;margin:2.2rem 0 .4rem;padding-top:.6rem;"
	"border-top:1px solid var(--rule)}h2.file{overflow-wrap:anywhere}\n"
	"h3{font-size:1.05rem;margin:1.2rem 0 .2rem}p{margin:.4rem 0;max-width:48rem;"
	"overflow-wrap:anywhere}\n"
	"a{color:var(--link)}.where,.note{color:var(--soft)}\n"
	"nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;padding:0;margin:.6rem 0;"
	"list-style:none}nav a{display:inline-block;padding:.25rem 0}\n"
	".scroll{overflow-x:auto;margin:.4rem 0 1rem;max-width:100%}\n"
	"table{border-collapse:separate;border-spacing:0;font-size:.88rem;font-variant-numeric:"
	"tabular-nums}\n"
	"caption{text-align:left;color:var(--soft);padding-bottom:.2rem}\n"
	"th,td{padding:.28rem .6rem;border-bottom:1px solid var(--rule);text-align:right;"
	"white-space:nowrap;vertical-align:top}\n"
	"thead th{white-space:normal;vertical-align:bottom;color:var(--soft);font-weight:600}\n"
	"th:first-child{text-align:left;position:sticky;left:0;background:var(--bg);font-weight:"
	"600}\n"
	"td.words,td.name,th.name{text-align:left}td.words{white-space:normal;min-width:11rem}."
	"better{color:var(--good)}\n"
	".worse{color:var(--bad);font-weight:600}.same{color:var(--soft)}\n"
	".lacks{background:var(--panel);border-left:4px solid var(--soft);padding:.4rem .7rem}\n"
	"dl{display:grid;grid-template-columns:minmax(8rem,auto) 1fr;gap:.15rem 1rem;margin:.6rem "
	"0;"
	"background:var(--panel);padding:.7rem}dt{color:var(--soft)}dd{margin:0;overflow-wrap:"
	"anywhere}\n"
	".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,350px),1fr));"
	"gap:1rem}figure{margin:0;min-width:0}figcaption{font-weight:600}\n"
	"svg.chart{display:block;width:100%;max-width:520px;height:auto}\n"
	"svg text{fill:var(--soft);font:12px system-ui,sans-serif}svg text.in{fill:var(--fg)}\n"
	".grid{stroke:var(--rule);fill:none}.one{stroke:var(--soft);fill:none}\n"
	".band{fill:var(--soft);opacity:.16}\n"
	".line{fill:none;stroke-width:2;stroke-linejoin:round}.mark{stroke-width:1.6}\n"
	".faint{opacity:.5;stroke-width:1.5}\n"
	".s0{stroke:var(--s0)}.s1{stroke:var(--s1)}.s2{stroke:var(--s2);stroke-dasharray:2 3}"
	".s3{stroke:var(--s3)}.s4{stroke:var(--s4);stroke-dasharray:8 3}"
	".s5{stroke:var(--s5);stroke-dasharray:6 2 2 2}.s6{stroke:var(--s6);stroke-dasharray:4 2}"
	".s7{stroke:var(--s7);stroke-dasharray:10 2 2 2}\n"
	".mark{stroke-dasharray:none;fill:var(--bg)}\n"
	"rect.p0,i.p0{fill:var(--p0);background:var(--p0)}rect.p1,i.p1{fill:var(--p1);background:"
	"var(--p1)}rect.p2,i.p2{fill:var(--p2);background:var(--p2)}rect.p3,i.p3{fill:var(--p3);"
	"background:var(--p3)}rect.p4,i.p4{fill:var(--p4);background:var(--p4)}\n"
	"rect{stroke:var(--bg);stroke-width:.7}\n"
	".w0{fill:var(--s0)}.w1{fill:var(--s1)}.w2{fill:var(--s2)}.w3{fill:var(--s3)}"
	".w4{fill:var(--s4)}.w5{fill:var(--s5)}.w6{fill:var(--s6)}.w7{fill:var(--s7)}"
	"rect[class^=w]{fill-opacity:.3;stroke-width:2}rect.tie{fill-opacity:.1}.in "
	"text{fill:var(--fg)}\n"
	".legend{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;padding:0;margin:.5rem 0;"
	"list-style:none;font-size:.9rem}.legend i{display:inline-block;width:.9em;height:.9em;"
	"margin-right:.4em;vertical-align:-.1em}\n"
	"svg.swatch{width:34px;height:12px;margin-right:.4em;vertical-align:0}\n"
	"details{margin:.3rem 0}summary{cursor:pointer;color:var(--link);padding:.3rem 0}\n"
	"pre{background:var(--panel);padding:.7rem;overflow-x:auto;font-size:.82rem}\n"
	"code{background:var(--panel);padding:0 .2em}\n"
	"@media(max-width:600px){dl{grid-template-columns:1fr}dd{margin-bottom:.4rem}"
	"th:first-child{max-width:9rem;white-space:normal}}\n"
	"@media print{:root{--bg:#fff;--fg:#000;--soft:#444;--rule:#bbb;--panel:#fff;--link:#000;"
	"--good:#08663f;--bad:#a61b1b;--s0:#5b6068;--s1:#b4470f;--s2:#9c6a00;--s3:#0b62a8;"
	"--s4:#007a5e;--s5:#94418f;--s6:#6b4fd0;--s7:#7a5c1e;--p0:#8a5a9e;--p1:#0b62a8;--p2:#"
	"63b09a;"
	"--p3:#d08a1d;--p4:#a9adb5}body{font-size:10pt}nav{display:none}"
	".scroll{overflow:visible}table{font-size:7pt}th,td{padding:1pt 2.5pt}thead th,tbody "
	"th,td.words{white-space:normal}.charts{grid-template-columns:1fr 1fr}"
	"figure,tr{break-inside:avoid}h2,h3{break-after:avoid}*{print-color-adjust:exact}}\n";

void report_head(FILE *f, const char *title)
{
	fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\n"
	      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"/>\n"
	      "<meta name=\"color-scheme\" content=\"light dark\"/>\n"
	      /* The browser's own request for an icon would be an error in its console. */
	      "<link rel=\"icon\" href=\"data:,\"/>\n<title>",
	      f);
	html_text(f, title);
	fputs("</title>\n<style>\n", f);
	fputs(style, f);
	fputs("</style></head>\n<body><header><h1>", f);
	html_text(f, title);
	fputs("</h1></header>\n<main>\n", f);
}

void report_foot(FILE *f)
{
	fputs("</main>\n<footer><p>Made by ", f);
	html_printf(f, "cardmark report, libcardmark %s.", cardmark_version());
	fputs("</p></footer></body></html>\n", f);
}
