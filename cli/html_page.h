/* The page that render_html.c fills in: report.html, made a string when this is built. Where a part
 * belongs it has <!--@NAME-->. */
#ifndef BL_HTML_PAGE_H
#define BL_HTML_PAGE_H

extern const char bl_html_page[];

#endif
