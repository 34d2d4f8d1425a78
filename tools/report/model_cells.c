/* SPDX-License-Identifier: MIT
 * Cells of the page's tables, and the environment of any results. */
#include <math.h>
#include <stdarg.h>

#include "tools/report/report.h"

json_t *model_cell(const char *class, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	tool_make_utf8(text);
	return json_pack("{s:s, s:s}", "text", text, "class", class);
}

json_t *model_ratio(struct ratio r, double resolution, bool ours)
{
	char text[RATIO_TEXT];

	return model_cell(!ratio_known(r, resolution) || ratio_same(r, resolution) ? "same"
			  : !ours                                                  ? ""
			  : r.mid < 1                                              ? "better"
										   : "worse",
			  "%s", ratio_text(r, resolution, 2, text));
}

json_t *model_noise(double resolution)
{
	return isfinite(resolution) ? model_cell("same", "\xc2\xb1%.1f %%", 100 * resolution)
				    : model_cell("same", "-");
}

void model_environment(json_t *root, const struct bench_env *env)
{
	json_t *o = json_object_get(root, "environment"), *v;
	const char *key;

	json_object_foreach(o, key, v)
	{
		if (json_is_string(v) && json_string_length(v) == 0)
			json_object_set_new(o, key, json_string("not recorded"));
	}
	json_object_set_new(o, "steal_percent",
			    model_cell("", "%.1f", bench_env_steal_percent(env)));
	if (env->command[0] == '\0')
		json_object_set_new(root, "command", json_string("not recorded"));
}
