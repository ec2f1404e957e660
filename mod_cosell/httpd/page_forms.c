/* httpd/page_forms.c: buttons, for whoever may; and the page that asks again before something
 * that is not easily taken back. */
#include "page.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/json.h"

int cosell_may(const cosell_view_t *v, const char *site, const char *verb)
{
    return v->tokens && site && cs_json_str(v->tokens, site) && cs_json_get(v->verbs, verb);
}

void cosell_form_hidden(cosell_html_t *h, const char *name, const char *value)
{
    cosell_void(h, "input");
    cosell_attr(h, "type", "hidden");
    cosell_attr(h, "name", name);
    cosell_attr(h, "value", value);
}

void cosell_form_begin(cosell_html_t *h, const cosell_view_t *v, const char *site,
                       const char *verb)
{
    cosell_open(h, "form");
    cosell_attr(h, "method", "post");
    cosell_attr(h, "action", cosell_url(v, NULL));
    cosell_attr(h, "class", "act");
    cosell_form_hidden(h, "token", cs_json_str(v->tokens, site));
    cosell_form_hidden(h, "site", site);
    cosell_form_hidden(h, "do", verb);
}

void cosell_form_text(cosell_html_t *h, const cosell_view_t *v, const char *name,
                      const char *label, const char *value, int required)
{
    cosell_open(h, "label");
    cosell_text(h, label);
    cosell_text(h, " ");
    cosell_void(h, "input");
    cosell_attr(h, "name", name);
    cosell_attr(h, "value", value ? value : "");
    cosell_attr(h, "maxlength", "200");
    cosell_attr(h, "autocomplete", "off");
    cosell_flag(h, "required", required);
    cosell_close(h);
    (void)v;
}

void cosell_form_end(cosell_html_t *h, const char *button, const char *class_of)
{
    cosell_open(h, "button");
    cosell_attr(h, "type", "submit");
    cosell_attr(h, "class", class_of);
    cosell_text(h, button);
    cosell_close(h);
    cosell_close(h);
}

void cosell_button(cosell_html_t *h, const cosell_view_t *v, const char *site, const char *verb,
                   const char *name, const char *value, const char *button)
{
    if (!cosell_may(v, site, verb)) {
        return;
    }
    cosell_form_begin(h, v, site, verb);
    if (name) {
        cosell_form_hidden(h, name, value);
    }
    cosell_form_end(h, button, strcmp(verb, "drop") ? NULL : "danger");
}

void cosell_view_confirm(cosell_html_t *h, const cosell_view_t *v, const json_t *doc)
{
    const char *name, *site = cs_json_str(doc, "site"), *verb = cs_json_str(doc, "do");
    json_t *value;

    cosell_frame_begin(h, v, "Is that meant?", 0);
    cosell_open(h, "p");
    cosell_attr(h, "class", "note wait");
    cosell_foreign(h, cs_json_str(doc, "text"), 500);
    cosell_close(h);
    cosell_open(h, "div");
    cosell_attr(h, "class", "acts");
    cosell_form_begin(h, v, site, verb);
    json_object_foreach(cs_json_get(doc, "arguments"), name, value) {
        cosell_form_hidden(h, name, json_string_value(value));
    }
    cosell_form_hidden(h, "sure", "yes");
    cosell_form_end(h, apr_pstrcat(v->p, "Yes, ", verb, NULL), "danger");
    cosell_link(h, cosell_url(v, "problems", "", NULL), "No, to the problems");
    cosell_close(h);
    cosell_frame_end(h, v);
}
