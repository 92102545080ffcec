package conformance_test

// adminGroupRows are the commands that make, change and delete subscription groups.
func adminGroupRows() []adminRow {
	return []adminRow{
		{
			name: "updateSubGroup", about: "makes and changes a subscription group, on a broker and in a cluster",
			lines: []string{
				"updateSubGroup -b $broker -g $group -r 3 -q 2", "updateSubGroup -c DefaultCluster -g $group -s false -d false -m false -i 1 -w 2 -a false",
				"updateSubGroup -b $broker -g a$b",
			},
		},
		{
			name: "updateSubGroupList", about: "several groups of a file", since5: true,
			lines: []string{"updateSubGroupList -b $broker -f $dir/groups.json", "updateSubGroupList -b $broker -f $dir/wrong.json"},
			prepare: func(r *adminRun) {
				r.file("groups.json", `[{"groupName":"$group","retryMaxTimes":2},{"groupName":"$group_2"}]`)
				r.file("wrong.json", `[{"groupName":"a b"}]`)
			},
		},
		{
			name: "getConsumerConfig", about: "what a group is configured with, and a group of none",
			lines: []string{"getConsumerConfig -g $group", "getConsumerConfig -g no_such_group"}, prepare: offline,
			check: func(r *adminRun, out string) { r.says(out, `^groupName = $group`, `^retryMaxTimes = 16`) },
		},
		{
			name: "setConsumeMode", about: "how a group's members get the queues of a topic, on a broker and in a cluster", since5: true,
			lines: []string{
				"setConsumeMode -b $broker -t $topic -g $group -m POP -q 2", "setConsumeMode -c DefaultCluster -t $topic -g $group -m PULL",
				"setConsumeMode -b $broker -t %RETRY%$group -g $group -m POP",
			},
			prepare: func(r *adminRun) { r.createTopic(r.topic, 4) },
			check: func(r *adminRun, out string) {
				r.says(out, `consume mode\[POP\] popShareQueueNum\[2\]`, `consume mode\[PULL\]`)
			},
		},
		{
			name: "deleteSubGroup", about: "a group, on a broker and in a cluster with its retry and dead letter topics",
			lines: []string{
				"updateSubGroup -b $broker -g $group", "deleteSubGroup -b $broker -g $group", "deleteSubGroup -c DefaultCluster -g $group -r true",
				"deleteSubGroup -b $broker -g no-such-group",
			},
		},
	}
}
