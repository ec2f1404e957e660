#!/bin/bash
# Proves that each directive of the command table is in the reference files and that each configuration member is created and merged. Arguments: the files that must name every
# directive; default conf/cosell.conf README.md. Fails when it cannot find its input.
set -u
cd "$(dirname "$0")/../.." || exit 2
table=mod_cosell/httpd/config.c
header=mod_cosell/httpd/mod_cosell.h
checkers='mod_cosell/httpd/config_check.c mod_cosell/httpd/config_file.c mod_cosell/httpd/config_site.c'
[ $# -gt 0 ] || set -- conf/cosell.conf README.md
failed=0

complain() {
    echo "$*"
    failed=1
}

for file in $table $header $checkers; do
    [ -r $file ] || { echo "cannot read $file"; exit 2; }
done
directives=$(sed -n 's/^ *\(HOST\|SERVER\)("\(Cosell[A-Za-z]*\)".*/\2/p' $table)
[ "$(echo "$directives" | wc -w)" -ge 10 ] || { echo "found no command table in $table"; exit 2; }

for file in "$@"; do
    [ -r "$file" ] || { complain "cannot read $file"; continue; }
    for directive in $directives; do
        grep -qw "$directive" "$file" || complain "$directive is not in $file"
    done
    # Nothing may be documented that does not exist.
    for word in $(grep -ow 'Cosell[A-Z][A-Za-z]*' "$file" | sort -u); do
        echo "$directives" | grep -qx "$word" || complain "$file names $word, which is no directive"
    done
done

# The reference says syntax, default and context of each, and an example of each.
reference=conf/cosell.conf
for directive in $directives; do
    entry=$(awk -v d="# $directive" '$0 == d { on = 1; next } on && !/^#/ { exit } on' $reference 2>/dev/null)
    for field in Syntax Default Context; do
        echo "$entry" | grep -q "^#   $field:" || complain "$reference: $directive has no $field"
    done
    echo "$entry" | grep -q "^#$directive " || complain "$reference: $directive has no example"
    context=$(echo "$entry" | sed -n 's/^#   Context: *//p')
    macro=$(sed -n "s/^ *\(HOST\|SERVER\)(\"$directive\".*/\1/p" $table | tr 'A-Z' 'a-z')
    [ "$context" = "$macro" ] || complain "$reference: context of $directive is \"$context\", the table says \"$macro\""
done

# Members: struct, create and merge come from one list, so the list must be the only source of members, and each must be used by a setter and by the check.
members=$(sed -n '/define COSELL_CONF_MEMBERS/,/[^\\]$/s/^ *X([^,]*, *\([a-z_]*\),.*/\1/p' $header)
[ "$(echo "$members" | wc -w)" -ge 10 ] || { echo "found no list of members in $header"; exit 2; }
for macro in COSELL_CONF_STRUCT CONF_CREATE CONF_MERGE; do
    grep -hq "COSELL_CONF_MEMBERS($macro)" $header $table || complain "$macro is not made from the list of members"
done
for member in $members; do
    grep -Eq -- "->$member\b|, $member\)" $table || complain "no setter stores $member"
    grep -Eq -- "->$member\b" $checkers || complain "nothing reads $member"
done
extra=$(sed -n '/^typedef struct cosell_conf_t {/,/^} cosell_conf_t;/p' $header | sed '/^}/d; s,/\*.*,,' |
    grep -oE '\b[a-z_]+;' | tr -d ';' | grep -vx -e member -e effective -e degraded)
[ -z "$extra" ] || complain "members outside the list, neither created nor merged: $extra"

[ $failed -eq 0 ] && echo "$(echo "$directives" | wc -l) directives, $(echo "$members" | wc -l) members: documented, created and merged"
exit $failed
