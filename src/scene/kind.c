#include "config.h"

#include <string.h>
#include <strings.h>

#include "scene/scene.h"

/* Which of Godot's loaders there is for a file: it goes by the end of the name. */

static bool ends(const char *path, const char *suffix)
{
	size_t len = strlen(path), tail = strlen(suffix);

	return len >= tail && strcasecmp(path + len - tail, suffix) == 0;
}

bool scene_kind_sidecar(const char *path)
{
	return ends(path, ".import") || ends(path, ".remap");
}

bool scene_kind_text(const char *path)
{
	return ends(path, ".tscn") || ends(path, ".tres") || scene_kind_sidecar(path);
}

/* Files that are loaded as they are, and the types that they can be asked for as. */
static const struct leaf {
	const char *suffix, *type, *base;
} leaves[] = {
	{".cs", "CSharpScript", "Script"},     {".gd", "GDScript", "Script"},
	{".gdnlib", "GDNativeLibrary", ""},    {".gdns", "NativeScript", "Script"},
	{".gdshader", "Shader", ""},	       {".shader", "Shader", ""},
};

bool scene_kind_fits(enum scene_engine engine, const char *path, const char *type)
{
	static const char *const bases[] = {"Resource", "RefCounted", "Object"};
	bool godot3 = engine == SCENE_ENGINE_3;

	if (type == NULL || type[0] == '\0')
		return true;
	if (strcmp(type, "PackedScene") == 0)
		return ends(path, ".tscn") || ends(path, ".scn") || ends(path, ".res");
	if (ends(path, ".tscn")) {
		for (size_t i = 0; i < JOBQ_LENGTH(bases) && !godot3; i++) {
			if (strcmp(type, bases[i]) == 0)
				return true;
		}
		return false;
	}
	if (godot3 && (ends(path, ".ttf") || ends(path, ".otf")))
		return strcmp(type, "DynamicFontData") == 0; /* Godot 4 imports them */
	for (const struct leaf *leaf = leaves; leaf < leaves + JOBQ_LENGTH(leaves); leaf++) {
		if (ends(path, leaf->suffix))
			return strcmp(type, leaf->type) == 0 || strcmp(type, leaf->base) == 0;
	}
	return true;
}

/* Pictures and fonts are left out: some builds take them as they are. */
bool scene_kind_raw(const char *path)
{
	static const char *const suffixes[] = {".blend", ".dae", ".escn", ".fbx", ".glb", ".gltf",
					       ".mp3", ".obj", ".ogg", ".txt", ".wav"};

	for (size_t i = 0; i < JOBQ_LENGTH(suffixes); i++) {
		if (ends(path, suffixes[i]))
			return true;
	}
	return false;
}
