# Completion of jobqctl's command line for bash.

_jobqctl_jobs() {
	# Ids of jobs of the status named, or of any; none when there is no service.
	jobqctl list --limit 200 ${1:+--status "$1"} 2>/dev/null | awk 'NR > 1 { print $1 }'
}

_jobqctl_command() {
	# The first word that is no option, nor what follows one that takes it.
	local i
	command='' verb=''
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-c | -o | --config | --option | --url | --token | --token-file | --ca | --project | \
			--action | --mode | --idempotency-key | --status | --type | --limit | \
			--interval | --secret-file | --priority | --label | --scope | --expires | --overlap | --file | --reload)
			((i++))
			# `--option=value` is three words here.
			[[ ${COMP_WORDS[i]-} != = ]] || ((i++))
			;;
		-* | =) ;;
		*)
			if [ -z "$command" ]; then
				command=${COMP_WORDS[i]}
			elif [ -z "$verb" ]; then
				verb=${COMP_WORDS[i]}
			fi
			;;
		esac
	done
}

_jobqctl() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command verb
	local commands='submit watch status list cancel stop retry result log queue webhook top doctor
		scene show cache check fsck backup remove-table token'
	local service='--url --token --token-file --ca' local='-c --config -o --option'
	local options='' words=''

	if [ "$prev" = = ]; then
		prev=${COMP_WORDS[COMP_CWORD - 2]}
	elif [ "$cur" = = ]; then
		cur=''
	fi
	COMPREPLY=()
	_jobqctl_command
	case $prev in
	-c | --config | --token-file | --ca | --secret-file | --file)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--project)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return
		;;
	--action) words='load validate get_info' ;;
	--mode) words='continue transactional' ;;
	--scope)
		words='all stale'
		[ "$command" != token ] || words='read submit admin'
		;;
	--status) words='queued running completed failed cancelled' ;;
	--type) words='batch_operations scene_preload cache_warming' ;;
	--color) words='auto always never' ;;
	-o | --option | --url | --token | --idempotency-key | --priority | --label | --limit | \
		--interval | --expires | --overlap | --reload) return ;;
	esac
	if [ -n "$words" ]; then
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
		return
	fi

	case $command in
	'') options="$service $local --color" words=$commands ;;
	submit)
		options="$service --color --project --action --mode --scope --priority --label
			--idempotency-key --wait --json"
		[ -n "$verb" ] || words='preload batch warm'
		;;
	watch) options="$service --color --all --json" words=$(_jobqctl_jobs) ;;
	status) options="$service --color --json" words=$(_jobqctl_jobs) ;;
	list) options="$service --color --status --type --label --limit --json" ;;
	cancel) options="$service --json" words=$(_jobqctl_jobs queued) ;;
	stop) options="$service --json" words=$(_jobqctl_jobs running) ;;
	retry)
		options="$service --color --failed --idempotency-key --wait --json"
		words=$(_jobqctl_jobs)
		;;
	result | log) options="$service --json" words=$(_jobqctl_jobs) ;;
	queue)
		options="$service --json"
		[ -n "$verb" ] || words='pause resume drain'
		;;
	webhook)
		options="$service --secret-file --limit --json"
		if [ -z "$verb" ]; then
			words='list add show enable disable remove test deliveries redeliver'
		elif [ "$verb" = add ]; then
			words='job.queued job.started job.progress job.completed job.failed
				job.cancelled scene.loaded scene.failed scene.validated scene.reloaded
				auth.failed rate_limit.exceeded ping'
		fi
		;;
	top) options="$service --color --once --interval" ;;
	doctor) options="$service $local --color" ;;
	scene)
		options='--project --json'
		[ -n "$verb" ] || words=check
		;;
	show | cache | check | fsck | backup | remove-table) options=$local ;;
	token)
		case $verb in
		'') words='add list revoke rotate' ;;
		add) options='--scope --expires' ;;
		list) options=--json ;;
		rotate) options='--overlap --expires' ;;
		esac
		options="$options --file --reload --no-reload"
		;;
	*) return ;;
	esac
	case $cur in
	-*) mapfile -t COMPREPLY < <(compgen -W "$options -h --help -V --version" -- "$cur") ;;
	*)
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
		case $command in
		backup | submit | scene)
			if [ "${#COMPREPLY[@]}" = 0 ]; then
				compopt -o filenames
				mapfile -t COMPREPLY < <(compgen -f -- "$cur")
			fi
			;;
		esac
		;;
	esac
}

complete -F _jobqctl jobqctl
