package chaos

// walks are the sessions.
var walks = []walk{
	{name: "plain", files: map[string]string{"pod.yaml": plainPod}, session: walkPlain},
	{name: "twice", files: map[string]string{"pod.yaml": plainPod}, session: walkPlain, twice: true},
	{name: "recovery", files: map[string]string{"pod.yaml": endingPod}, session: walkRecovery, during: 2},
	{name: "ending", files: map[string]string{"pod.yaml": finishingPod}, session: walkFinishing},
	{name: "restart", files: map[string]string{"pod.yaml": restartingPod}, session: walkRestart},
	{name: "slow", files: map[string]string{"pod.yaml": slowPod}, session: walkSlow, only: []string{"note release of container", "hold reader", "open release", "release container"}},
	{name: "change", files: map[string]string{"pod.yaml": changingPod, "changed.yaml": changedPod}, session: walkChange},
	{name: "everything", files: map[string]string{"pod.yaml": wholePod}, session: walkEverything, newOnly: true},
	{name: "debug", files: map[string]string{"pod.yaml": plainPod}, session: walkDebug, during: 2},
	{name: "pause", files: map[string]string{"pod.yaml": plainPod}, session: walkPause, newOnly: true},
	{name: "lost", files: map[string]string{"pod.yaml": plainPod}, session: walkLost, newOnly: true},
	{name: "probe", files: map[string]string{"pod.yaml": probedPod}, session: walkProbe, newOnly: true},
	{name: "replace", files: map[string]string{"pod.yaml": plainPod}, session: walkReplace, newOnly: true},
	{name: "suspend", files: map[string]string{"pod.yaml": plainPod}, session: walkSuspend, newOnly: true},
	{name: "random", files: map[string]string{"pod.yaml": wholePod}, session: walkEverything, random: 40},
	{name: "users", files: map[string]string{"pod.yaml": usersPod}, session: walkUsers, newOnly: true},

	{name: "keeper", files: map[string]string{"pod.yaml": keptPod}, session: walkKeeper, keepers: true},
	{name: "keeper of users", files: map[string]string{"pod.yaml": usersPod}, session: walkKeeperPlain, keepers: true, newOnly: true},
	{name: "keeper of processes", files: map[string]string{"pod.yaml": sharedPod}, session: walkKeeperPlain, keepers: true, newOnly: true},

	{name: "rotation", files: map[string]string{"pod.yaml": printingPod}, session: walkRotation, only: []string{"rotate log", "remove old logs", "open log"}},
	{name: "machine", files: map[string]string{"pod.yaml": machinePod}, session: walkMachine, newOnly: true},
	{name: "input", files: map[string]string{"pod.yaml": readingPod}, session: walkInput, newOnly: true},
	{name: "terminal", files: map[string]string{"pod.yaml": terminalPod}, session: walkTerminal, newOnly: true},
	{name: "stopped", files: map[string]string{"pod.yaml": plainPod}, session: walkStopped, newOnly: true},
	{name: "up with a pull", files: map[string]string{"pod.yaml": walkedPod}, session: walkPull, during: 1},
	{name: "events", files: map[string]string{"pod.yaml": plainPod}, session: walkEvents, newOnly: true},

	{name: "boot", files: map[string]string{"pod.yaml": plainPod}, session: walkBoot, during: 2, newOnly: true},
	{name: "half", files: map[string]string{"pod.yaml": plainPod}, session: walkHalf, only: []string{"remove run directory", "remove directory of a namespace"}},
	{name: "unfinished", files: map[string]string{"pod.yaml": changingPod}, session: walkUnfinished, newOnly: true},
	{name: "forced", files: map[string]string{"pod.yaml": plainPod}, session: walkForced, during: 3, newOnly: true},
	{name: "hands", files: map[string]string{"pod.yaml": plainPod}, session: walkHands, during: 2, only: []string{"renew lock", "renew control socket", "keep descriptor", "claim address again", "mend network", "mount volumes again", "change rules"}},
	{name: "state", files: map[string]string{"pod.yaml": plainPod}, session: walkState, during: 2, only: []string{"restore container state"}},
	{name: "repairs", files: map[string]string{"pod.yaml": plainPod}, session: walkRepairs, during: 2, newOnly: true},
	{name: "status", files: map[string]string{"pod.yaml": plainPod}, session: walkDamagedStatus, during: 3},
	{name: "tidy", files: map[string]string{"pod.yaml": finishingPod}, session: walkPrune, during: 2, newOnly: true},
	{name: "service", session: walkService},
}
