package chaos

// walks are the sessions. What one has, the others need not have.
var walks = []walk{
	{
		name:  "plain",
		files: map[string]string{"plain.yaml": plainPod},
		session: func(s *session) {
			s.exits(0, "up", "plain.yaml")
			before := s.runs("plain", "main")
			s.wrote("plain", "main", 0, 100)
			s.exits(0, "exec", "plain", "--", "true")
			s.same(before, s.runs("plain", "main"))
			s.exits(0, "down", "plain.yaml")
		},
	},
}

// writer prints 1 to 100 and goes on.
const plainPod = `
apiVersion: v1
kind: Pod
metadata: {name: plain}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: main, image: busybox, imagePullPolicy: Never, command: [sh, -c, "seq 1 100; exec sleep 3600"]}
`
