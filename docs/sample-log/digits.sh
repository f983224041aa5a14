#!/bin/bash
# The built-in example, crowdrun's own runner on Slurm, as each of the users in turn, with the request of somebody who
# does not know: the last jobs of the sample log. The users' Python must have crowdrun in it.
#
#   digits.sh HOME CROWDRUN TIMES      e.g. digits.sh /home /opt/torch/bin/crowdrun 6
set -eu
home=$1 crowdrun=$2 times=$3
for ((turn = 0; turn < times; turn++)); do
	for user in user1 user2 user3 user4; do
		channels=$((24 + 8 * (turn % 2)))
		job=$home/$user/digits-$channels.toml
		sed "s/^channels = .*/channels = $channels/" "$(dirname "$0")/../examples/digits.toml" >"$job"
		chown "$user:" "$job"
		(cd "$home/$user" && setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups -- \
			env HOME="$home/$user" USER="$user" CROWDRUN_HOME="$home/$user/crowdrun" \
			"$crowdrun" run "$job" --on slurm --no-predict)
	done
done
