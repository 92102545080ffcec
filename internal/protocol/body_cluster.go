package protocol

// ClusterInfo is the body of code 106's response. Apache's name servers always
// write the broker ids as bare numbers here.
type ClusterInfo struct {
	BrokerAddrs map[string]BrokerData `json:"brokerAddrTable"`  // by broker name
	Clusters    map[string][]string   `json:"clusterAddrTable"` // broker names by cluster
}

// EncodeClusterInfo renders c compactly; standard quotes the broker ids.
func EncodeClusterInfo(c *ClusterInfo, standard bool) []byte {
	b := []byte(`{"brokerAddrTable":{`)
	for i, name := range sortedKeys(c.BrokerAddrs) {
		if i > 0 {
			b = append(b, ',')
		}
		d := c.BrokerAddrs[name]
		b = append(appendJSONString(b, name), ':')
		b = appendBrokerData(b, &d, standard)
	}
	b = append(b, `},"clusterAddrTable":{`...)
	for i, name := range sortedKeys(c.Clusters) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendJSONString(b, name), ':')
		b = appendStrings(b, c.Clusters[name])
	}
	return append(b, `}}`...)
}

// DecodeClusterInfo reads either dialect.
func DecodeClusterInfo(data []byte) (*ClusterInfo, error) {
	c := new(ClusterInfo)
	if err := DecodeBody(data, c); err != nil {
		return nil, err
	}
	return c, nil
}

// TopicList is the body of code 206's response.
type TopicList struct {
	BrokerAddr string   `json:"brokerAddr,omitempty"`
	Topics     []string `json:"topicList,omitempty"`
}

// KVTable is the body of code 28's response, a broker's figures by name, and of
// a name server's answer to code 103 when it returns ordered topics.
type KVTable struct {
	Table map[string]string `json:"table,omitempty"`
}
